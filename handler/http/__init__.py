"""HTTP itself: the way of every request, bodies, parameters, problems and the OpenAPI document."""
