"""Environments behind OpenEnv's server, at the utterance level: one message per step, over a web socket.

It needs the extra ``openenv``. The parts are imported by their modules:

* :mod:`lang_envs.openenv.models`: action, observation and state, as pydantic models;
* :mod:`lang_envs.openenv.client`: a client that speaks them;
* :mod:`lang_envs.openenv.environment`: one session of an environment;
* :mod:`lang_envs.openenv.server`: the application that serves it;
* :mod:`lang_envs.openenv.export`: a folder that OpenEnv's commands build, validate and push.
"""
