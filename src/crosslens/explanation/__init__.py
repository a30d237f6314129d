"""Why one passage stands above another: words, matches, heads and layers of these very pairs."""
