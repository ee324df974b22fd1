"""The named chat templates (Jinja2), which say how conversations are written.

A template sees ``messages`` (roles and contents), ``add_generation_prompt``, and the tokenizer's special tokens. It
must close the agent's turn with one special token. It must write a turn in the same way whether or not others follow.
"""

from __future__ import annotations

USER, AGENT, END, PAD = "<|user|>", "<|agent|>", "<|end|>", "<|pad|>"
MARKERS = (PAD, END, USER, AGENT)
"""the special tokens of :func:`lang_envs.tokenizers.text_tokenizer`"""

PACKAGED = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}<|user|>{{ message.content }}"
    "{% elif message.role == 'assistant' %}<|agent|>{{ message.content }}<|end|>"
    "{% else %}{% if not loop.first and loop.previtem.role != 'assistant' %}<|end|>{% endif %}{{ message.content }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|agent|>{% endif %}"
)
"""of the packaged tokenizer: ``a caption<|user|>is it free?<|agent|>yes, today<|end|><|user|>thanks<|agent|>``"""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""for tokenizers that have ``<|im_start|>`` and ``<|im_end|>`` but another template, such as Qwen3's"""

PLAIN = (
    "{% for message in messages %}{% if message.role == 'user' %}User: {{ message.content }}{{ eos_token }}\n"
    "{% elif message.role == 'assistant' %}Assistant: {{ message.content }}{{ eos_token }}\n"
    "{% else %}System: {{ message.content }}{{ eos_token }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""for models that have no template: each turn ends with the tokenizer's end token, which no text can contain"""

NAMED = {"markers": PACKAGED, "chatml": CHATML, "plain": PLAIN}
"""the names that ``markup=`` takes, besides "chat" for the tokenizer's own template"""
