"""The topics of the built-in posts and comments, with their phrases."""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """One topic; ``{thing}`` in a phrase stands for one of its things."""

    name: str
    things: tuple[str, ...]
    posts: tuple[str, ...]
    tips: tuple[str, ...]
    jokes: tuple[str, ...]


TOPICS = (
    Topic(
        "cooking",
        ("risotto", "sourdough", "omelette", "curry", "lasagna", "pancakes", "chili", "roast chicken"),
        (
            "I made {thing} for the first time tonight and I'm proud of it!",
            "Why does my {thing} always come out bland?",
            "What is your secret for really good {thing}?",
            "My in-laws are visiting and asked for {thing}. Any recipe that can't go wrong?",
        ),
        (
            "Salt your {thing} early and taste as you go.",
            "A lower heat and ten more minutes did wonders for my {thing}.",
            "Let the {thing} rest before you serve it.",
            "Good butter makes more of a difference to {thing} than any gadget.",
            "I keep a notebook of what I changed each time I make {thing}.",
        ),
        (
            "My smoke alarm and I are on first-name terms thanks to {thing}.",
            "My {thing} was once mistaken for a doorstop.",
            "Step one of my {thing}: order a pizza.",
        ),
    ),
    Topic(
        "gardening",
        ("tomatoes", "roses", "basil", "compost", "succulents", "lavender", "hedges", "pumpkins"),
        (
            "Something keeps eating my {thing}. What could it be?",
            "First year with {thing} and look at the size of them!",
            "Can I grow {thing} on a shady balcony?",
            "How often do you water your {thing} in summer?",
        ),
        (
            "{thing} like the morning sun and a deep drink once a week.",
            "Mulch around the {thing} keeps the soil moist.",
            "Plant some marigolds next to the {thing}, it keeps the pests away.",
            "Check the drainage first, wet feet ruin {thing}.",
            "Local nurseries know which {thing} do well in your soil.",
        ),
        (
            "I talk to my {thing} every day. They have started to avoid me.",
            "The slugs left my {thing} a five-star review.",
            "I don't kill {thing}, I help them pass on.",
        ),
    ),
    Topic(
        "gaming",
        ("speedruns", "boss fights", "strategy games", "retro consoles", "co-op", "platformers", "controllers", "mods"),
        (
            "Am I the only one who still enjoys {thing}?",
            "Finally got good at {thing} after months of practice.",
            "What got you into {thing}?",
            "My little sister wants to try {thing}. Where should she start?",
        ),
        (
            "Slow down and watch the patterns, {thing} are mostly about timing.",
            "The community around {thing} keeps great beginner guides.",
            "Start with something short, {thing} get easier once the basics sit.",
            "Take a break and come back tomorrow, it works for {thing}.",
            "Turn the difficulty down without shame, {thing} are meant to be fun.",
        ),
        (
            "My cat is better at {thing} than I am, and she only sits on the keyboard.",
            "I have lost more sleep to {thing} than to my newborn.",
            "My backlog of {thing} will be inherited by my grandchildren.",
        ),
    ),
    Topic(
        "cycling",
        (
            "bike lanes",
            "flat tyres",
            "hill climbs",
            "commuting",
            "helmets",
            "gravel bikes",
            "brakes",
            "saddles",
        ),
        (
            "Looking for advice about {thing}, I'm new to this.",
            "Rode 50 km today and learned a lot about {thing}.",
            "Unpopular opinion: people worry too much about {thing}.",
            "How do you deal with {thing} in winter?",
        ),
        (
            "Check the pressure before every ride, it settles half the questions about {thing}.",
            "A bike shop will look at {thing} for the price of a coffee.",
            "Ride easy for the first month and {thing} will sort themselves out.",
            "I read up on {thing} for weeks; in the end practice taught me more.",
            "There is a good free video series about {thing}.",
        ),
        (
            "The right number of bikes is n plus one, {thing} not included.",
            "My legs filed a complaint about {thing}.",
            "I don't ride fast, I ride scenic.",
        ),
    ),
    Topic(
        "books",
        (
            "short stories",
            "mystery novels",
            "audiobooks",
            "poetry",
            "fantasy",
            "memoirs",
            "libraries",
            "classics",
        ),
        (
            "I used to hate {thing}, but one winter changed my mind.",
            "Which {thing} would you recommend to a beginner?",
            "Does anybody else fall asleep over {thing}?",
            "I finished a whole year of {thing} and kept a list.",
        ),
        (
            "Ten pages a day is enough, {thing} are not a race.",
            "Ask a librarian about {thing}, they love the question.",
            "Reading {thing} aloud helps more than you would think.",
            "Skip the introduction and come back to it later, {thing} open up that way.",
            "I found most of my favourite {thing} second-hand.",
        ),
        (
            "My shelf of unread {thing} has applied for its own postcode.",
            "I judge {thing} by their cover and I have never been wrong twice.",
            "My bookmark has been on page nine since spring.",
        ),
    ),
    Topic(
        "pets",
        ("rescue dogs", "kittens", "parrots", "goldfish", "hamsters", "puppies", "rabbits", "old cats"),
        (
            "We just brought home one of those {thing}. Any tips?",
            "What do your {thing} do when nobody is watching?",
            "Are {thing} a good idea in a small flat?",
            "I miss mine so much today. Tell me about your {thing}.",
        ),
        (
            "Give them a quiet corner of their own, {thing} need time.",
            "Short walks and small treats, that is all it took with our {thing}.",
            "A vet check in the first week saves worry with {thing}.",
            "Keep the routine steady, {thing} love to know what comes next.",
            "Ours settled after a week; most {thing} do.",
        ),
        (
            "I pay the rent, but the lease is in the name of my {thing}.",
            "My {thing} hold a meeting at 4 am and attendance is mandatory.",
            "We bought them a bed. They sleep in the box.",
        ),
    ),
    Topic(
        "programming",
        (
            "unit tests",
            "regular expressions",
            "legacy code",
            "code reviews",
            "type hints",
            "releases",
            "bugs",
            "docs",
        ),
        (
            "How do you explain {thing} to someone who just started?",
            "I broke everything today because of {thing}. How do you cope?",
            "My team argues about {thing} every single week.",
            "Is it normal to need days for {thing}?",
        ),
        (
            "Start with the smallest example that still shows the problem, even for {thing}.",
            "Write it down for the next person, {thing} come back.",
            "Pair with somebody for an hour, {thing} look easier with two.",
            "The official manual has a good chapter on {thing}.",
            "Small steps and frequent commits make {thing} bearable.",
        ),
        (
            "It works on my machine, so we shipped my machine.",
            "I have two problems now: {thing}, and the fix for {thing}.",
            "99 little {thing} in the code, take one down, 127 little {thing} in the code.",
        ),
    ),
    Topic(
        "travel",
        (
            "night trains",
            "hostels",
            "road trips",
            "jet lag",
            "street food",
            "museums",
            "border crossings",
            "luggage",
        ),
        (
            "Going abroad alone for the first time. What should I know about {thing}?",
            "The best part of my year was all the {thing}.",
            "Are {thing} still worth it these days?",
            "Tell me your worst story about {thing}.",
        ),
        (
            "Book the first night ahead and leave the rest open, {thing} work best that way.",
            "Carry a copy of your passport, useful for {thing} and everything else.",
            "Talk to the locals about {thing}, they know what the guide leaves out.",
            "Weekday mornings are the quiet time for {thing}.",
            "Pack half of what you planned, {thing} get easier.",
        ),
        (
            "My suitcase has seen more of the world than I have, mostly without me.",
            "I went to find myself and found {thing} instead.",
            "The map said ten minutes. The map was an optimist about {thing}.",
        ),
    ),
    Topic(
        "fitness",
        ("push-ups", "running", "rest days", "yoga", "squats", "swimming", "morning workouts", "stretching"),
        (
            "Six months of {thing} and I feel like a new person!",
            "I can't stay motivated for {thing}. What helps you?",
            "Is it too late to start with {thing} at fifty?",
            "My doctor suggested {thing}. Where do I begin?",
        ),
        (
            "Begin with five minutes of {thing} and add one each week.",
            "Good sleep does more for {thing} than any supplement.",
            "Find a friend for {thing}, it is harder to skip.",
            "Form first, numbers later, that goes for {thing} too.",
            "Track your {thing} on paper and look back after a month.",
        ),
        (
            "I did {thing} once. I still bring it up at parties.",
            "My favourite exercise is a cross between a lunge and a crunch: lunch.",
            "My couch and I are taking a break because of {thing}.",
        ),
    ),
    Topic(
        "money",
        ("budgets", "student loans", "index funds", "rent", "side jobs", "credit cards", "grocery bills", "savings"),
        (
            "I'm 22 and confused about {thing}. Please explain it simply.",
            "Paid everything off today, and {thing} were the hardest part.",
            "Does anyone really understand {thing}?",
            "How do you talk to your partner about {thing}?",
        ),
        (
            "Write down every expense for a month before you decide about {thing}.",
            "Automate what you can, then {thing} look after themselves.",
            "Read the small print twice when it comes to {thing}.",
            "A free advice centre helped me with {thing}.",
            "Three months of expenses in the bank, then worry about {thing}.",
        ),
        (
            "My bank account and {thing} are in a long-distance relationship.",
            "I put my money where my mouth is: all of it went on snacks.",
            "I tried to save on {thing}, so now I own three cheap ones.",
        ),
    ),
)

POSTSCRIPTS = ("", "", "Thanks in advance!", "First post here.", "Be gentle.", "I'm all ears.", "Long story, I know.")
"""The endings of a post."""
