"""Makes a folder in MultiWOZ 2.1's layout, with databases so small that every answer is known by hand."""

import json

RESTAURANTS = [
    ("the red pot", "centre", "indian", "cheap", "1 mill road", "01223000001", "cb11aa"),
    ("blue bowl restaurant", "centre", "chinese", "expensive", "2 mill road", "01223000002", "cb11ab"),
    ("green plate", "north", "indian", "moderate", "3 hill street", "01223000003", "cb11ac"),
]
HOTELS = [("oak guest house", "north", "guesthouse", "4"), ("elm lodge", "centre", "hotel", "3")]
TRAINS = [
    ("TR0001", "monday", "cambridge", "ely", "08:00", "08:17"),
    ("TR0002", "monday", "cambridge", "ely", "10:00", "10:17"),
    ("TR0002", "tuesday", "cambridge", "ely", "12:00", "12:17"),
]
INDIAN = {
    "restaurant": {
        "info": {"food": "indian", "area": "centre"},
        "fail_info": {"food": "thai", "area": "centre"},
        "reqt": ["phone", "postcode"],
        "book": {"people": "2", "day": "monday", "time": "18:00", "invalid": False},
        "fail_book": {"time": "17:00"},
    }
}
TRIP = {
    "train": {
        "info": {"departure": "cambridge", "destination": "ely", "day": "monday", "leaveAt": "09:00"},
        "reqt": ["trainID"],
    },
    "hotel": {"info": {"area": "north", "stars": "4"}, "reqt": ["address"], "fail_info": {}},
    "taxi": {
        "info": {"leaveAt": "07:00", "departure": "elm lodge", "destination": "red pot"},
        "reqt": ["phone", "car type"],
    },
}
TALK = [
    (
        "i want food in the center",
        {"Restaurant-Inform": [["Area", "centre"]]},
        [["Restaurant-Inform", "Area", "centre", 5, 5]],
    ),
    ("What food would you like ?", {}, []),
    (
        "indian food please",
        {"Restaurant-Inform": [["Food", "indian"]]},
        [["Restaurant-Inform", "Food", "indian", 0, 0]],
    ),
    ("The Red Pot , phone 01223000001 , cb1 1aa .", {}, [["Restaurant-Inform", "Name", "The Red Pot", 0, 2]]),
    ("book it", {}, []),
    ("Booked , the reference is AB12CD34 .", {}, [["Booking-Book", "Ref", "AB12CD34", 5, 5]]),
]
STATES = [{"area": "centre"}, {"area": "centre", "food": "indian"}, {"area": "centre", "food": "indian"}]


def log(name, talk=TALK, states=STATES):
    """The turns of one dialogue, whose name is in one of them; it is booked in the last."""
    turns = []
    for i, (text, acts, spans) in enumerate(talk):
        text = f"{text} ( {name} )" if i == 1 else text
        metadata = {}
        if i % 2:
            booked = [{"reference": "AB12CD34"}] if i == len(talk) - 1 else []
            metadata = {
                "restaurant": {
                    "semi": {"name": "not mentioned", **states[i // 2]},
                    "book": {"booked": booked, "day": ""},
                }
            }
        turns.append({"text": text, "metadata": metadata, "dialog_act": acts, "span_info": spans})
    return turns


def write(folder, dialogues=20):
    """Writes them: goals by turns about a restaurant, and about a train, a hotel and a taxi."""
    keys = ("name", "area", "food", "pricerange", "address", "phone", "postcode")
    hotel = {"pricerange": "cheap", "parking": "yes", "internet": "no", "phone": "01223000009", "postcode": "cb12aa"}
    train = ("trainID", "day", "departure", "destination", "leaveAt", "arriveBy")
    tables = {
        "restaurant": [dict(zip(keys, row, strict=True)) for row in RESTAURANTS],
        "hotel": [
            {**hotel, "address": f"{i} long lane", **dict(zip(("name", "area", "type", "stars"), row, strict=True))}
            for i, row in enumerate(HOTELS)
        ],
        "attraction": [
            {"name": "old museum", "area": "west", "type": "museum", "entrance fee": "?", "pricerange": "?"}
        ],
        "train": [
            {**dict(zip(train, row, strict=True)), "price": "4.40 pounds", "duration": "17 minutes"} for row in TRAINS
        ],
        "taxi": [{"taxi_colors": ["red", "blue"], "taxi_types": ["ford"], "taxi_phone": ["^[0-9]{10}$"]}],
        "police": [{"name": "Parkside", "address": "Parkside", "phone": "01223358966", "id": 0}],
        "hospital": [{"department": "surgery", "phone": "01223217000", "id": 0}],
    }
    (folder / "db").mkdir(parents=True)
    for domain, rows in tables.items():
        (folder / "db" / f"{domain}_db.json").write_text(json.dumps(rows))
    goals = [INDIAN, TRIP]
    found = {f"D{i}": {"goal": goals[i % 2], "log": log(f"D{i}")} for i in range(dialogues)}
    (folder / "data.json").write_text(json.dumps(found))
    return folder
