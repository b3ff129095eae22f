import junctor.gateway.mcp as package


def test_the_public_surface_is_what_the_package_names() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
