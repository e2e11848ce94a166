"""Voice: answers the phone and text messages that no other conversation owns, and says who should take them."""
