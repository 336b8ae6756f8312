"""A Hugging Face Llama where ntprl's loops expect their own transformer.

`Llama` holds a `transformers.LlamaForCausalLM` and offers what training, sampling, reinforcement learning and
measuring ask of `ntprl.transformer.Transformer`: logits of the last positions, and a cache that can be shared.
Its `model` is the untouched library model: TRL trains the same object. `PublishedLlama` is the same with published
weights. Needs the llama extra.

Shape legend: B sequences, T positions, S positions with those in the cache, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ntprl.errors import InputError, require, require_integer
from ntprl.llama.hub import needed
from ntprl.llama.weights import load_tokenizer, load_weights
from ntprl.tasks.words import EOS_ID, PAD_ID, PIECE, VOCABULARY
from ntprl.transformer import Cache, KeyValues


@dataclass(frozen=True)
class LlamaShape:
    """Size of a Llama from scratch. Matrices start at a standard deviation of 1/sqrt(width), as in `transformer`."""

    vocab_size: int  # V
    max_length: int  # longest sequence, prompt and answer together
    n_layer: int = 3  # depth
    width: int = 128  # size of the residual stream
    n_head: int = 4  # attention heads

    def __post_init__(self) -> None:
        for name in ("vocab_size", "max_length", "n_layer", "width", "n_head"):
            require_integer(name, getattr(self, name), low=1)
        require(
            self.width % (2 * self.n_head) == 0, "width", self.width, f"a multiple of 2 x n_head = {2 * self.n_head}"
        )


class Bridge:
    """A cache of ours, asked by the library's attention. Its layer 0 says which positions are text."""

    is_compileable = False

    def __init__(self, store: KeyValues):
        self.store = store

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.store.length

    def update(self, k: Tensor, v: Tensor, layer_idx: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        return self.store.append(layer_idx + 1, k, v)


class Llama(nn.Module):
    """Next-token predictor from random weights, which depend on the generator alone. PAD_ID is never attended to."""

    def __init__(self, shape: LlamaShape, generator: torch.Generator | None = None):
        super().__init__()
        transformers = needed("transformers")
        self.config = shape
        config = transformers.LlamaConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.width,
            intermediate_size=-(-8 * shape.width // 24) * 8,
            num_hidden_layers=shape.n_layer,
            num_attention_heads=shape.n_head,
            num_key_value_heads=shape.n_head,
            max_position_embeddings=shape.max_length,
            initializer_range=shape.width**-0.5,
            tie_word_embeddings=True,  # as in Llama 3.2
            pad_token_id=PAD_ID,
            bos_token_id=None,
            eos_token_id=EOS_ID,
            attn_implementation="sdpa",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch.seed() if generator is None else generator.initial_seed())
            self.model = transformers.LlamaForCausalLM(config)

    @property
    def embed(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def forward(self, tokens: Tensor, n_out: int | None = None, cache: KeyValues | None = None) -> Tensor:
        """Logits of the last n_out positions (default: all), (B, T) -> (B, n_out, V).

        With a cache, `tokens` continue what the cache holds. Without one, rows with much padding on the left are
        read apart from the others, so that little of it is computed. Raises InputError beyond max_length.
        """
        start = 0 if cache is None else cache.length
        if start + tokens.shape[1] > self.config.max_length:
            raise InputError(
                f"sequence length = {start + tokens.shape[1]} is not allowed: "
                f"this model holds {self.config.max_length} positions"
            )
        n_out = tokens.shape[1] if n_out is None else n_out
        if cache is not None:
            return self._read(tokens, n_out, cache)
        first = (tokens != PAD_ID).int().argmax(dim=1)  # (B,)
        order = first.argsort(descending=True)
        logits = []
        for rows in order.split(max(8, -(-len(order) // 6))):
            cut = min(int(first[rows].min()), tokens.shape[1] - n_out)
            logits.append(self._read(tokens[rows, cut:], n_out, None))
        return torch.cat(logits)[order.argsort()] if logits else self._read(tokens, n_out, None)

    def _read(self, tokens: Tensor, n_out: int, cache: KeyValues | None) -> Tensor:
        n_new, start, seen = tokens.shape[1], 0, tokens != PAD_ID
        if cache is not None:
            start, flags = cache.length, seen[:, None, :, None].to(self.embed.weight.dtype)
            seen = cache.append(0, flags, flags)[0][:, 0, :, 0] > 0  # (B, S)
        position = torch.arange(start + n_new, device=tokens.device)
        query = position[start:, None]
        # padding sees itself alone: a row of attention without any key would be undefined
        mask = (position <= query) & seen[:, None, :] | (position == query)  # (B, T, S)
        output = self.model(
            input_ids=tokens,
            attention_mask=mask[:, None],
            position_ids=query.T,  # rotary positions are relative: padding shifts nothing
            past_key_values=None if cache is None else Bridge(cache),
            use_cache=cache is not None,
            logits_to_keep=n_out,
        )
        if cache is not None:
            cache.length += n_new
        return output.logits

    def new_cache(self, batch: int) -> Cache:
        """An empty cache for `batch` sequences, on the device of the weights."""
        weight, c = self.embed.weight.detach(), self.model.config
        size = c.hidden_size // c.num_attention_heads
        kept = LlamaShape(  # as many keys and values as the model has: its heads may share them
            c.vocab_size,
            self.config.max_length,
            c.num_hidden_layers,
            c.num_key_value_heads * size,
            c.num_key_value_heads,
        )
        cache = Cache(kept, batch, like=weight)
        cache.layers.insert(0, tuple(weight.new_empty(batch, 1, self.config.max_length, 1) for _ in range(2)))
        return cache


@dataclass(frozen=True)
class PublishedShape:
    """Published weights, and how many of their words a task uses."""

    source: str  # a folder, a name on the hub, or smollm2
    vocab_size: int  # V
    max_length: int  # longest sequence, prompt and answer together


class PublishedLlama(Llama):
    """A Llama with published weights, cut down to the words of a task: it reads and writes those V alone.

    Each piece of text of the task must be one token of the published tokenizer; "<eos>" is its end of text. Embeddings
    of other tokens are left out, so that its probabilities are those of the published model given that it writes one
    of the V.
    """

    def __init__(self, shape: PublishedShape, vocabulary: Sequence[str]):
        nn.Module.__init__(self)
        require(
            len(vocabulary) == shape.vocab_size, "vocab_size", shape.vocab_size, f"{len(vocabulary)}, as the task's"
        )
        self.config = shape
        words, model = load_tokenizer(shape.source), load_weights(shape.source)
        longest = model.config.max_position_embeddings
        require(
            shape.max_length <= longest, "max_length", shape.max_length, f"at most {longest}, which the model holds"
        )
        ids = [[words.eos_token_id] if piece == "<eos>" else words.encode(piece, add_special_tokens=False)
               for piece in vocabulary]  # fmt: skip
        if long := [piece for piece, found in zip(vocabulary, ids, strict=True) if len(found) != 1]:
            raise InputError(f"{long[0]!r} is not one token of {shape.source}: a task for its weights must do without")
        rows = model.get_input_embeddings().weight.detach()[torch.tensor(ids)[:, 0]].clone()
        model.resize_token_embeddings(len(vocabulary), mean_resizing=False)
        with torch.no_grad():
            model.get_input_embeddings().weight.copy_(rows)
        self.model = model


def tokenizer(vocabulary: Sequence[str] = VOCABULARY, piece: str = PIECE, pad: str = VOCABULARY[PAD_ID]) -> Any:
    """A task's vocabulary, by default that of the word problems, as a `PreTrainedTokenizerFast`, which decodes to the
    text it was given. `piece` matches one token of a text; `pad` stands for what is not text; "<eos>" is the end."""
    transformers = needed("transformers")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({text: i for i, text in enumerate(vocabulary)}, unk_token=pad))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(piece), behavior="isolated")
    words.decoder = decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=pad,
        unk_token=pad,
        eos_token=VOCABULARY[EOS_ID],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
