"""The transformer against the libraries' models, its own cache, and causality."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from ntprl.tasks.parity import Parity
from ntprl.transformer import STYLES, Prefix, Transformer, TransformerConfig

TASK = Parity(7, 5)  # 7 tokens to read and write, sequences of up to 15
both_styles = pytest.mark.parametrize("style", STYLES)


def random_tokens(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(TASK.vocab_size, (batch, length), generator=torch.Generator().manual_seed(seed))


def as_gpt2(model: Transformer) -> GPT2LMHeadModel:
    c = model.config
    sizes = {"n_positions": c.max_length, "n_embd": c.width, "n_layer": c.n_layer, "n_head": c.n_head}
    config = GPT2Config(vocab_size=c.vocab_size, **sizes, bos_token_id=None, eos_token_id=None)
    theirs = GPT2LMHeadModel(config).eval()
    modules = {"wte": model.embed, "wpe": model.position, "ln_f": model.norm}
    for i, block in enumerate(model.blocks):
        modules |= {
            f"h.{i}.ln_1": block.norm_1,
            f"h.{i}.attn.c_attn": block.attention.qkv,
            f"h.{i}.attn.c_proj": block.attention.out,
            f"h.{i}.ln_2": block.norm_2,
            f"h.{i}.mlp.c_fc": block.feed_forward.up,
            f"h.{i}.mlp.c_proj": block.feed_forward.down,
        }
    state = {"lm_head.weight": model.head.weight}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            transposed = isinstance(module, torch.nn.Linear) and key == "weight"  # the way GPT-2 stores them
            state[f"transformer.{name}.{key}"] = value.T if transposed else value
    theirs.load_state_dict(state)
    return theirs


def as_mistral(model: Transformer) -> MistralForCausalLM:
    c = model.config
    sizes = {"vocab_size": c.vocab_size, "hidden_size": c.width, "intermediate_size": c.hidden_size}
    sizes |= {"num_hidden_layers": c.n_layer, "num_attention_heads": c.n_head, "num_key_value_heads": c.n_head}
    settings = {"rms_norm_eps": 1e-5, "sliding_window": None, "tie_word_embeddings": False}
    config = MistralConfig(
        **sizes, **settings, max_position_embeddings=c.max_length, bos_token_id=None, eos_token_id=None
    )
    theirs = MistralForCausalLM(config).eval()
    state = {
        "model.embed_tokens.weight": model.embed.weight,
        "model.norm.weight": model.norm.weight,
        "lm_head.weight": model.head.weight,
    }
    for i, block in enumerate(model.blocks):
        name = f"model.layers.{i}"
        q, k, v = block.attention.qkv.weight.split(c.width)
        gate, value = block.feed_forward.up.weight.split(c.hidden_size)
        state |= {
            f"{name}.self_attn.q_proj.weight": q,
            f"{name}.self_attn.k_proj.weight": k,
            f"{name}.self_attn.v_proj.weight": v,
            f"{name}.self_attn.o_proj.weight": block.attention.out.weight,
            f"{name}.mlp.gate_proj.weight": gate,
            f"{name}.mlp.up_proj.weight": value,
            f"{name}.mlp.down_proj.weight": block.feed_forward.down.weight,
            f"{name}.input_layernorm.weight": block.norm_1.weight,
            f"{name}.post_attention_layernorm.weight": block.norm_2.weight,
        }
    theirs.load_state_dict(state)
    return theirs


@both_styles
@torch.no_grad()
def test_logits_equal_the_library_model(lively_model, style):
    model = lively_model(TASK, style, width=24, n_head=3, n_layer=3)
    theirs = (as_gpt2 if style == "gpt2" else as_mistral)(model)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in theirs.parameters())
    tokens = random_tokens(4, model.config.max_length)
    expected = theirs(tokens).logits
    assert expected.std() > 0.3
    torch.testing.assert_close(model(tokens), expected, atol=1e-5, rtol=1e-5)


def test_embeddings_are_tied_in_gpt2_style_only(lively_model):
    gpt2, mistral = lively_model(TASK, "gpt2"), lively_model(TASK, "mistral")
    assert gpt2.head.weight is gpt2.embed.weight
    assert mistral.head.weight is not mistral.embed.weight


@both_styles
@pytest.mark.parametrize("chunks", [[1] * 15, [9, 6], [9, 1, 1, 1, 3], [3, 5, 2, 5], [15]])
@torch.no_grad()
def test_cached_logits_equal_uncached_ones(lively_model, style, chunks):
    model = lively_model(TASK, style)
    tokens, cache = random_tokens(3, 15), model.new_cache(3)
    pieces = [model(piece, cache=cache) for piece in tokens.split(chunks, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(tokens), atol=1e-5, rtol=1e-5)


@both_styles
@torch.no_grad()
def test_n_out_works_with_a_cache(lively_model, style):
    model = lively_model(TASK, style)
    tokens, cache = random_tokens(3, 15), model.new_cache(3)
    pieces = [model(piece, n_out=2, cache=cache) for piece in tokens.split([6, 5, 4], dim=1)]
    wanted = model(tokens)[:, [4, 5, 9, 10, 13, 14]]
    torch.testing.assert_close(torch.cat(pieces, dim=1), wanted, atol=1e-5, rtol=1e-5)


@both_styles
@pytest.mark.parametrize("n_out", [1, 4, 15])
def test_n_out_gives_the_tail_of_all_logits_and_the_same_gradients(lively_model, style, n_out):
    model = lively_model(TASK, style)
    tokens = random_tokens(3, 15)
    weight = torch.randn(3, n_out, TASK.vocab_size, generator=torch.Generator().manual_seed(1))
    gradients = []
    for logits in (model(tokens)[:, -n_out:], model(tokens, n_out)):
        gradients.append([logits, *torch.autograd.grad((logits * weight).sum(), list(model.parameters()))])
    for full, tail in zip(*gradients, strict=True):
        torch.testing.assert_close(tail, full, atol=1e-4, rtol=1e-4)


@both_styles
@torch.no_grad()
def test_no_logit_sees_a_later_token(lively_model, style):
    model, tokens = lively_model(TASK, style), random_tokens(2, 15)
    before = model(tokens)
    for t in range(15):
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % TASK.vocab_size
        after = model(changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], atol=1e-5, rtol=1e-5)
        assert (after[:, t:] - before[:, t:]).abs().amax(dim=(0, 2)).min() > 1e-4  # and every later one does


@both_styles
@torch.no_grad()
def test_cache_keeps_the_rows_it_is_told_to(lively_model, style):
    model, tokens = lively_model(TASK, style), random_tokens(5, 15)
    cache, rows = model.new_cache(5), torch.tensor([3, 0])
    model(tokens[:, :9], cache=cache)
    cache.keep_rows(rows)
    continued = model(tokens[rows, 9:], cache=cache)
    torch.testing.assert_close(continued, model(tokens[rows])[:, 9:], atol=1e-5, rtol=1e-5)


@both_styles
@pytest.mark.parametrize("chunks", [[1] * 15, [9, 6], [3, 5, 2, 5], [15]])
@torch.no_grad()
def test_logits_with_a_prefix_equal_those_without(lively_model, style, chunks):
    model, tokens, prefix = lively_model(TASK, style), random_tokens(3, 15), Prefix()
    pieces = [model(piece, cache=prefix) for piece in tokens.split(chunks, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(tokens), atol=1e-5, rtol=1e-5)
    assert prefix.length == 15


@both_styles
def test_a_prefix_is_shared_with_its_gradients(lively_model, style):
    """Three prompts, seven continuations, some of the same prompt, one prompt unused: as if each were read whole."""
    model = lively_model(TASK, style).double()
    prompts, rest, rows = random_tokens(3, 8), random_tokens(7, 5, seed=1), torch.tensor([2, 0, 2, 2, 0, 0, 2])
    weight = torch.randn(7, 6, TASK.vocab_size, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    prefix = Prefix()
    first = model(prompts, n_out=1, cache=prefix)
    shared = torch.cat((first[rows], model(rest, cache=prefix.expand(rows))), dim=1)
    whole = model(torch.cat((prompts[rows], rest), dim=1), n_out=6)
    torch.testing.assert_close(shared, whole, atol=1e-10, rtol=1e-10)
    ours, theirs = (torch.autograd.grad((x * weight).sum(), list(model.parameters())) for x in (shared, whole))
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


@both_styles
@torch.no_grad()
def test_going_on_from_a_prefix_leaves_it_as_it_was(lively_model, style):
    model, prompts, prefix = lively_model(TASK, style), random_tokens(3, 8), Prefix()
    model(prompts, cache=prefix)
    before = [(k.clone(), v.clone()) for k, v in prefix.layers]
    for seed, rows in ((1, [0, 1, 2]), (2, [2, 2]), (3, [1])):  # in turn, each longer than one token
        rest, rows = random_tokens(len(rows), 4, seed), torch.tensor(rows)
        expanded = prefix.expand(rows)
        logits = model(rest, cache=expanded)
        expected = model(torch.cat((prompts[rows], rest), dim=1), n_out=4)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
        assert (prefix.length, expanded.length) == (8, 12)
        for (k, v), (old_k, old_v) in zip(prefix.layers, before, strict=True):
            assert torch.equal(k, old_k) and torch.equal(v, old_v)


@both_styles
def test_weights_depend_on_the_generator_alone(style):
    config = TransformerConfig(5, 9, style, width=8, n_head=2)

    def weights(global_seed: int, seed: int) -> torch.Tensor:
        torch.manual_seed(global_seed)
        model = Transformer(config, torch.Generator().manual_seed(seed))
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(0, 7), weights(1, 7))
    assert not torch.equal(weights(0, 7), weights(0, 8))


@both_styles
def test_matrices_start_at_the_documented_size(style):
    """A standard deviation of 1/sqrt(fan in), less by sqrt(2 n_layer) where a block writes to the stream."""
    model = Transformer(TransformerConfig(64, 64, style, n_layer=2, width=128), torch.Generator().manual_seed(0))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            writes = "attention.out" in name or "down" in name
            expected = parameter.shape[1] ** -0.5 * (0.5 if writes else 1)
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name
        else:
            assert parameter.unique().tolist() == [0.0 if name.endswith("bias") else 1.0], name


@both_styles
def test_too_long_a_sequence_is_refused(lively_model, refused, style):
    model = lively_model(TASK, style)
    with refused("sequence length = 16", "15 positions"):
        model(random_tokens(1, 16))
    cache = model.new_cache(1)
    model(random_tokens(1, 15), cache=cache)
    with refused("sequence length = 16", "15 positions"):
        model(random_tokens(1, 1), cache=cache)
    prefix = Prefix()
    model(random_tokens(1, 9), cache=prefix)
    with refused("sequence length = 16", "15 positions"):
        model(random_tokens(2, 7), cache=prefix.expand(torch.tensor([0, 0])))


@pytest.mark.parametrize(("field", "value"), [("style", "llama"), ("width", 36), ("n_head", 0), ("vocab_size", "4")])
def test_bad_configurations_are_refused(refused, field, value):
    with refused(f"{field} = {value!r}"):
        TransformerConfig(**({"vocab_size": 4, "max_length": 9} | {field: value}))
