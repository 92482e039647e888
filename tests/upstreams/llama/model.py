"""Writes a random model of about 0.5 MB: `model.py OUT.gguf TEMPLATE.jinja tools|text`.

Its text is noise. With `tools` it calls them when it may, and else says nothing; with `text` it talks on. One dimension of each embedding is the same large number, so that column of the output matrix is a
bias for each token: the end first, then `<tool_call>`, wherever the server's grammar allows them. A second dimension
makes a newline follow `<tool_call>` (the grammar's trigger), a third one closes a string as soon as it is open.
"""

import sys

import gguf
import numpy as np

SIZE, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 32768
MARKS = [b"<|im_start|>", b"<|im_end|>", b"<tool_call>", b"</tool_call>"]
BYTES = [b"<0x%02X>" % n for n in range(256)]
PRINTABLE = [bytes([n]) for n in range(33, 127)]
TOKENS = [b"<unk>", b"<s>", b"</s>", *BYTES, "\u2581".encode(), *PRINTABLE, *MARKS]
UNKNOWN, CONTROL, BYTE, NORMAL, USER = 2, 3, 6, 1, 4
KINDS = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, NORMAL, *[NORMAL] * len(PRINTABLE), *[USER] * len(MARKS)]


def metadata(writer, template):
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(SIZE)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(SIZE // HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([0.0] * len(TOKENS))
    writer.add_token_types(KINDS)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(template)


def matrices(random, calls_tools):
    """The embeddings and the output, with the three biases."""
    at = TOKENS.index
    embedding, output = random(len(TOKENS), SIZE), random(len(TOKENS), SIZE)
    embedding[:, 0] = 4.0
    if not calls_tools:
        for end in (b"</s>", *MARKS):
            output[at(end), 0] = -6
        return embedding, output
    output[at(b"</s>"), 0], output[at(b"<tool_call>"), 0] = 6, 4
    for dimension in (1, 2):
        embedding[:, dimension] = output[:, dimension] = 0
    embedding[at(b"<tool_call>"), 1], output[at(b"<0x0A>"), 1] = 4.0, 40
    for quote in (at(b'"'), at(b"<0x22>")):
        embedding[quote, 2], output[quote, 2] = 4.0, 40
    return embedding, output


def main():
    generator = np.random.default_rng(0)

    def random(*shape):
        return (generator.standard_normal(shape) * 0.05).astype(np.float32)

    writer = gguf.GGUFWriter(sys.argv[1], "llama")
    with open(sys.argv[2]) as template:
        metadata(writer, template.read())
    embedding, output = matrices(random, sys.argv[3] == "tools")
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(SIZE, np.float32))
    square = {name: (SIZE, SIZE) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes = {**square, "ffn_gate": (INNER, SIZE), "ffn_up": (INNER, SIZE), "ffn_down": (SIZE, INNER)}
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", random(*shape))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(SIZE, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
