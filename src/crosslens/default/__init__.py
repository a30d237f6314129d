"""What CrossLens ships so that it works with nothing downloaded: a reranker and a collection."""
