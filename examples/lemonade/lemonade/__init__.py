"""A lemonade stand for storelab: what a package of your own can add to it."""
