"""Fine-tuning a reranker, whole or by its embeddings alone, and selected on validation queries."""
