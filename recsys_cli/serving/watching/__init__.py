"""What a process of the service knows of itself: counts, their history, and drift of its requests' features."""
