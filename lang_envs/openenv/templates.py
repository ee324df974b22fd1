"""The templates of the files of an exported environment; :mod:`lang_envs.openenv.export` fills in fields ``@name@``."""

from __future__ import annotations

MANIFEST = """\
spec_version: 1
name: @name@
version: "@version@"
type: space
runtime: fastapi
app: server.app:app
port: @port@
validation: @manifest@
"""

PACKAGE = '''\
"""@env_id@ of lang-envs as an OpenEnv environment."""
'''

MODELS = '''\
"""What goes over the wire."""

from lang_envs.openenv.models import EpisodeState, UtteranceAction, UtteranceObservation

__all__ = ["EpisodeState", "UtteranceAction", "UtteranceObservation"]
'''

CLIENT = '''\
"""A client of the server."""

from lang_envs.openenv.client import UtteranceClient

__all__ = ["UtteranceClient"]
'''

SERVER = '''\
"""Serves @env_id@: python -m server.app"""

import argparse

from lang_envs.openenv.server import make_app, serve

app = make_app("@env_id@"@options@)


def main() -> None:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=@port@)
    arguments = parser.parse_args()
    serve(app, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
'''

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "openenv-@name@"
version = "@version@"
requires-python = ">=3.11"
dependencies = ["lang-envs[openenv]", "openenv>=0.10,<0.11"]

[project.scripts]
server = "@name@.server.app:main"

[tool.setuptools]
packages = ["@name@", "@name@.server"]
package-dir = { "@name@" = ".", "@name@.server" = "server" }
"""

DOCKERFILE = """\
FROM python:3.11-slim
RUN pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu \\
 && pip install --no-cache-dir "lang-envs[openenv]"
WORKDIR /app
COPY . /app
EXPOSE @port@
CMD ["python", "-m", "server.app", "--port", "@port@"]
"""

README = """\
---
title: @env_id@
sdk: docker
app_port: @port@
base_path: /web
tags: [openenv]
---

# @env_id@

@instruction@

An environment of lang-envs at the utterance level: one action, `message`, is what the agent says. The observation has
`text`, `messages` (the episode so far), `done`, `reward`, and in `metadata` `truncated`, `turn` and `info`.

```
pip install 'lang-envs[openenv]'
python -m server.app
```

```python
from lang_envs.openenv.client import UtteranceClient
from lang_envs.openenv.models import UtteranceAction

with UtteranceClient(base_url="http://127.0.0.1:@port@").sync() as env:
    print(env.reset(seed=0).observation.text)
    print(env.step(UtteranceAction(message="hello")))
```
"""

FILES = {
    "openenv.yaml": MANIFEST,
    "validation/runtime.json": "@plan@\n",
    "__init__.py": PACKAGE,
    "models.py": MODELS,
    "client.py": CLIENT,
    "server/__init__.py": PACKAGE,
    "server/app.py": SERVER,
    "pyproject.toml": PROJECT,
    "Dockerfile": DOCKERFILE,
    "README.md": README,
}
"""path in the folder -> template"""
