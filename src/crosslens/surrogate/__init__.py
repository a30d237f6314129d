"""Is the score a linear function of soft term frequency and IDF, as BM25 is of the exact ones?"""
