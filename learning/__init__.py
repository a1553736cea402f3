"""What the store's models share: a training loop, methods of fine-tuning, folders of saved models with their cards."""
