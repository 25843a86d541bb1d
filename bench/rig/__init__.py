"""What both programs share."""
