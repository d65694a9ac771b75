"""An image for the examples in the documentation."""

EIGHT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAT0lEQVR42gXBoRGDMAAAwL9kgbAJG8AK3QCJhFFQWDZgBJB1tK6u"
    "V1cZJCr8YxiO0orM9ZTOZ+A1NnkR+G0eGfW3QNS/8/Uh0vyrHdJaOtxFQRYsVPtYLAAAAABJRU5ErkJggg=="
)
"""A PNG of 8 x 8 pixels, a handwritten 8 of scikit-learn's digits, in base64."""
