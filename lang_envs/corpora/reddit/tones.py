"""The phrases of the built-in comments by tone, from kind to toxic; ``{thing}`` stands for the thing discussed."""

OPENERS = {
    "kind": (
        "Great question!", "Thanks for sharing this!", "I love this.", "You're doing great.", "Welcome to the club!",
        "Well done!", "This made my day.", "Congratulations, you earned it.", "I was just as stupid, no worries!",
        "So happy for you!", "That looks wonderful.", "Don't be hard on yourself.",
    ),
    "neutral": (
        "", "For what it's worth:", "It depends.", "In my experience it varies.", "Two things.", "Not sure, but",
        "Same here.", "I read about this recently.", "Depends on where you live.", "Short answer: maybe.", "Late here.",
        "I asked a friend.",
    ),
    "rude": (
        "Did you even try searching first?", "Not this again.", "Wow, how lazy.", "What a waste of time.", "Oh please.",
        "Who cares?", "Nobody asked.", "This is the dumbest post of the week.", "Cool story.", "Yawn.",
        "Is this a joke?", "Why would you post this?",
    ),
    "toxic": (
        "Shut up.", "You are an idiot.", "What a stupid person you are.", "Just shut up already, nobody asked you.",
        "You're pathetic.", "Go away, you clown.", "Only an idiot would post this.", "You make me sick.",
        "People like you ruin everything.", "You should be ashamed of yourself.", "Delete your account, idiot.",
        "Everyone here hates you.",
    ),
}  # fmt: skip
"""The openings of a comment, by tone."""

REMARKS = {
    "kind": (
        "You clearly put a lot of heart into {thing}.", "My idiot-proof rule: be patient with yourself.",
        "It took me years to get {thing} right, so be proud.", "I felt stupid at first too, and it passed.",
        "Keep us posted about {thing}!", "It's so nice to read something cheerful about {thing}.",
        "{thing} can be stupidly hard, so really well done.", "I hope {thing} bring you as much joy as they bring me.",
    ),
    "neutral": (
        "I have no strong opinion about {thing}.", "There was a thread on {thing} last month.", "{thing} differ a lot.",
        "My brother did the same with {thing}.", "It was cheaper a few years ago.", "I would wait until spring.",
        "Some say {thing} are overrated, others swear by them.", "Mine came in a stupid amount of plastic.",
    ),
    "rude": (
        "This gets posted every day.", "Your {thing} look terrible.", "You clearly know nothing about {thing}.",
        "I've seen children do better.", "Learn to read.", "That is a stupid way to think about {thing}.",
        "Nobody is impressed by your {thing}.", "Stop wasting everybody's time with {thing}.",
    ),
    "toxic": (
        "You're too stupid for {thing}.", "I hope your {thing} fail and you cry about it.", "No wonder you are alone.",
        "Your whole family must be embarrassed.", "You are a worthless excuse for a person.",
        "You disgust me, you and your stupid {thing}.", "Idiots like you shouldn't be allowed near {thing}.",
        "Nobody wants you here.",
    ),
}  # fmt: skip
"""The middle sentences of a comment, by tone."""

CLOSERS = {
    "kind": ("Good luck!", "You've got this!", "Hope that helps :)", "Have a lovely day!", "Cheers!", "Sending a hug."),
    "neutral": (
        "That's about it.",
        "Your mileage may vary.",
        "Edit: typo.",
        "Just my two cents.",
        "Anyway.",
        "Moving on.",
    ),
    "rude": (
        "Try harder.",
        "Whatever.",
        "Next.",
        "Do your homework.",
        "Give it a rest.",
        "This sub has gone downhill.",
    ),
    "toxic": (
        "Idiot.",
        "Shut up, stupid.",
        "Get lost.",
        "You are a joke.",
        "Do us a favour and never come back.",
        "Loser.",
    ),
}
"""The endings of a comment, by tone."""
