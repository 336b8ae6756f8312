"""A small decoder-only transformer in two styles.

gpt2     learned absolute positions, LayerNorm, GELU, biases, tied embeddings
mistral  rotary positions, RMSNorm, SwiGLU, no biases, untied embeddings

Departures from the libraries' models: (1) no dropout; (2) matrices start at a standard deviation of
1/sqrt(fan in) instead of .02, which is small for widths this narrow;
(3) mistral's sliding window is off (no sequence here is that long) and its heads are not grouped.

Shape legend: B sequences, T positions, W width, H heads, D = W / H, V vocabulary.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ntprl.errors import InputError, require, require_choice, require_integer

STYLES = ("gpt2", "mistral")
ROTARY_BASE = 10_000.0
# Beyond the small models that this is for. Who gives such a size has mistyped it, and would wait for it, or for memory.
LARGEST = {"vocab_size": 2**20, "max_length": 2**14, "n_layer": 1_000, "width": 2**14, "n_head": 2**10}


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a model. Equal shapes hold each other's checkpoints."""

    vocab_size: int  # V
    max_length: int  # longest sequence, prompt and answer together
    style: str = "gpt2"  # one of STYLES
    n_layer: int = 2  # depth
    width: int = 64  # W, size of the residual stream
    n_head: int = 4  # H

    def __post_init__(self) -> None:
        require_choice("style", self.style, STYLES)
        for name, high in LARGEST.items():
            require_integer(name, getattr(self, name), low=1, high=high)
        require(
            self.width % (2 * self.n_head) == 0, "width", self.width, f"a multiple of 2 x n_head = {2 * self.n_head}"
        )

    @property
    def hidden_size(self) -> int:
        """Width of the feed-forward layer: 4 W, or 8/3 W with SwiGLU's third matrix, rounded up to 8."""
        return 4 * self.width if self.style == "gpt2" else -(-8 * self.width // 24) * 8


class Cache:
    """Keys and values of the positions read so far, one pair of (B, H, max_length, D) for each layer."""

    def __init__(self, config: TransformerConfig, batch: int, like: Tensor):
        shape = (batch, config.n_head, config.max_length, config.width // config.n_head)
        self.layers = [(like.new_empty(shape), like.new_empty(shape)) for _ in range(config.n_layer)]
        self.length = 0  # positions filled

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, H, T, D) after what is there; return all keys and values up to there."""
        end = self.length + k.shape[2]
        for store, new in zip(self.layers[layer], (k, v), strict=True):
            store[:, :, self.length : end] = new
        keys, values = self.layers[layer]
        return keys[:, :, :end], values[:, :, :end]

    def keep_rows(self, rows: Tensor) -> None:
        """Go on with the sequences `rows` (indices), in that order; one may be taken several times."""
        self.layers = [(k.index_select(0, rows), v.index_select(0, rows)) for k, v in self.layers]


class Prefix:
    """Keys and values that training can share: gradients flow through, and `expand` leaves it as it was.

    A model reads prompts once, `model(prompts, cache=prefix)`, then any number of answers to each,
    `model(answers, cache=prefix.expand(rows))`, where answer i continues prompt rows[i].
    """

    def __init__(self, layers: Iterable[tuple[Tensor, Tensor]] = (), length: int = 0):
        self.layers, self.length = list(layers), length

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, H, T, D) after what is there; return all keys and values up to there."""
        if layer < len(self.layers):
            past_k, past_v = self.layers[layer]
            self.layers[layer] = torch.cat((past_k, k), dim=2), torch.cat((past_v, v), dim=2)
        else:
            self.layers.append((k, v))
        return self.layers[layer]

    def expand(self, rows: Tensor) -> "Prefix":
        """A prefix for answers to the prompts `rows`, in that order; one may come several times."""
        return Prefix(((k[rows], v[rows]) for k, v in self.layers), self.length)


KeyValues = Cache | Prefix


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on (B, H, T, D): turn each pair (x_i, x_{i + D/2}) by its angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Attention(nn.Module):
    """Causal self-attention with H heads."""

    def __init__(self, config: TransformerConfig, layer: int):
        super().__init__()
        bias = config.style == "gpt2"
        self.layer, self.n_head = layer, config.n_head
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=bias)
        self.out = nn.Linear(config.width, config.width, bias=bias)

    def heads(self, x: Tensor) -> Tensor:
        """(B, T, W) -> (B, H, T, D)."""
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)

    def forward(self, x: Tensor, n_query: int, rotary: tuple[Tensor, Tensor] | None, cache: KeyValues | None) -> Tensor:
        """Attend from the last n_query positions of x, (B, T, W) -> (B, n_query, W)."""
        n_new = x.shape[1]
        if n_query == n_new:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        else:  # only keys and values are needed before the last n_query positions
            width = x.shape[2]
            weight, bias = self.qkv.weight, self.qkv.bias
            q = F.linear(x[:, -n_query:], weight[:width], None if bias is None else bias[:width])
            k, v = F.linear(x, weight[width:], None if bias is None else bias[width:]).chunk(2, dim=-1)
        q, k, v = self.heads(q), self.heads(k), self.heads(v)
        if rotary is not None:
            cos, sin = rotary
            q, k = rotate(q, cos[-n_query:], sin[-n_query:]), rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        n_key = k.shape[2]
        if n_query == 1:  # sees every key; on a CPU two products take two thirds of the fused kernel's time
            y = (q * q.shape[3] ** -0.5 @ k.transpose(2, 3)).softmax(dim=-1) @ v
        else:
            mask = None
            if n_query < n_key:  # query i sits at position n_key - n_query + i
                mask = torch.ones(n_query, n_key, dtype=torch.bool, device=x.device).tril(n_key - n_query)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=n_query == n_key)
        return self.out(y.transpose(1, 2).flatten(2))  # (B, H, T, D) -> (B, T, W)


class FeedForward(nn.Module):
    """GELU in the GPT-2 style, SwiGLU in the Mistral style."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.gated = config.style == "mistral"
        bias = not self.gated
        self.up = nn.Linear(config.width, config.hidden_size * (2 if self.gated else 1), bias=bias)
        self.down = nn.Linear(config.hidden_size, config.width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        hidden = self.up(x)
        if self.gated:
            gate, value = hidden.chunk(2, dim=-1)
            return self.down(F.silu(gate) * value)
        return self.down(F.gelu(hidden, approximate="tanh"))


class Block(nn.Module):
    """One layer, normalised before each half (pre-norm)."""

    def __init__(self, config: TransformerConfig, layer: int):
        super().__init__()
        self.norm_1, self.norm_2 = make_norm(config), make_norm(config)
        self.attention, self.feed_forward = Attention(config, layer), FeedForward(config)

    def forward(self, x: Tensor, n_out: int, rotary: tuple[Tensor, Tensor] | None, cache: KeyValues | None) -> Tensor:
        """(B, T, W) -> (B, n_out, W): the last n_out positions."""
        attended = self.attention(self.norm_1(x), n_out, rotary, cache)
        x = x[:, x.shape[1] - n_out :] + attended
        return x + self.feed_forward(self.norm_2(x))


def make_norm(config: TransformerConfig) -> nn.Module:
    """LayerNorm in the GPT-2 style, RMSNorm in the Mistral style."""
    return nn.LayerNorm(config.width, eps=1e-5) if config.style == "gpt2" else nn.RMSNorm(config.width, eps=1e-5)


class Transformer(nn.Module):
    """Next-token predictor. Weights depend on the generator alone, not on torch's global seed."""

    def __init__(self, config: TransformerConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.max_length, config.width) if config.style == "gpt2" else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = make_norm(config)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        self._initialise(generator)
        if config.style == "gpt2":
            self.head.weight = self.embed.weight
        else:
            half = config.width // config.n_head // 2
            angles = torch.arange(config.max_length)[:, None] * ROTARY_BASE ** (-torch.arange(half) / half)  # (T, D/2)
            self.register_buffer("cos", angles.cos(), persistent=False)
            self.register_buffer("sin", angles.sin(), persistent=False)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        depth_scale = (2 * self.config.n_layer) ** -0.5  # keeps the residual stream's size, as GPT-2 does
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.dim() == 2:
                std = parameter.shape[1] ** -0.5
                if name.endswith(("out.weight", "down.weight")):
                    std *= depth_scale
                parameter.normal_(0.0, std, generator=generator)

    def forward(self, tokens: Tensor, n_out: int | None = None, cache: KeyValues | None = None) -> Tensor:
        """Logits of the last n_out positions (default: all), (B, T) -> (B, n_out, V).

        With a cache, `tokens` continue what the cache holds. The last layer is computed for the
        n_out positions only. Raises InputError beyond max_length.
        """
        start = 0 if cache is None else cache.length
        end = start + tokens.shape[1]
        if end > self.config.max_length:
            raise InputError(
                f"sequence length = {end} is not allowed: this model holds {self.config.max_length} positions"
            )
        n_out = tokens.shape[1] if n_out is None else n_out
        x = self.embed(tokens)  # (B, T, W)
        rotary = None
        if self.position is not None:
            x = x + self.position.weight[start:end]
        else:
            rotary = self.cos[start:end], self.sin[start:end]
        for block in self.blocks[:-1]:
            x = block(x, tokens.shape[1], rotary, cache)
        x = self.blocks[-1](x, n_out, rotary, cache)  # (B, n_out, W)
        if cache is not None:
            cache.length = end
        return self.head(self.norm(x))

    def new_cache(self, batch: int) -> Cache:
        """An empty cache for `batch` sequences, on the device of the weights."""
        return Cache(self.config, batch, like=self.embed.weight.detach())
