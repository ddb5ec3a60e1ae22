"""Uniting pairs into groups: images that share a photograph, directly or through others."""

from collections.abc import Iterable


def groups(edges: Iterable[tuple[str, str]], paths: Iterable[str]) -> dict[str, str]:
    """The group of each path, named after the group's first member in sort order; alone, a path is its own group.

    Union-find; the result depends on neither the order of `edges` nor that of `paths`. An edge to a path that
    is not among `paths` is a KeyError.
    """
    parent = {path: path for path in paths}

    def root(path: str) -> str:
        while parent[path] != path:
            parent[path] = parent[parent[path]]
            path = parent[path]
        return path

    for a, b in edges:
        first, second = sorted((root(a), root(b)))
        parent[second] = first  # the smaller name is always the root, so that roots are the groups' names
    return {path: root(path) for path in parent}
