"""Is rarity stored in the word embeddings, along which direction, and is it read there?"""
