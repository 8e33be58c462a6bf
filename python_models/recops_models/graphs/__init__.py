"""What is known of users and items from elsewhere: item graphs and knowledge tables."""
