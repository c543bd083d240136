# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Framework objects: handles, the object tree, attributes, and the declaration of DDIs."""
