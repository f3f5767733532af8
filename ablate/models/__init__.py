"""The models: one vision transformer assembled from parts, and beside it whole models in files of their own.

A part is an ``nn.Module`` class, one a file, one folder a kind. Its constructor takes two sorts of parameters:

* **positional**: the context. The assembler (`ablate.models.build`) supplies it by name, so a part writes
  down only what it needs, in any order;
* **keyword-only**: the part's options, which a Recipe may set. They carry a plain type or a ``Literal`` and
  a literal default, or none if the Recipe must give them. `ablate.parts` reads them from the source.

Every kind is offered ``dim`` (width of the tokens), ``depth`` (number of blocks) and ``dropout`` (the
probability, for the part to apply after its own dense layers), and beside these:

=============  ==================================  ==================================================
kind           more context                        what it does
=============  ==================================  ==================================================
stem           image_size, channels                images_BCHW -> tokens_BND; exposes ``grid``, the
                                                   rows and columns of its N tokens, or None where
                                                   they lie on none
readout        grid, heads                         tokens_BND -> representation_BD; exposes
                                                   ``prefix_tokens``, how many tokens of its own its
                                                   method ``prepend`` puts in front (0: never called)
position       grid, prefix_tokens, heads          tokens_BND -> tokens_BND with positions added;
                                                   ``prefix_tokens`` of them precede the grid
mixer          grid, prefix_tokens, block,         normalised tokens_BND -> the residual branch; may
               attention_dropout                   have ``forward_with_weights`` (see SelfAttention)
feed_forward   grid, prefix_tokens, block          normalised tokens_BND -> the residual branch
norm           (none)                              tokens_BND, or representation_BD, normalised
head           classes                             representation_BD -> logits_BK
=============  ==================================  ==================================================

``image_size`` is (height, width), px. ``prefix_tokens`` is the readout's own number in mixer and
feed_forward; to a position it is 0 where positions cover the patches alone. ``block`` counts from 0.
``heads`` is that of the mixer, and is offered where the mixer has such an option. A mixer that has attention weights
takes ``attention_dropout``, the probability with which it drops them in training; one that does not take it is refused
where that is above 0. Stems and readouts drop none: the attention of ``tokens_to_token``, ``layer_wise_cls`` and
``map`` is not that of the blocks.

Some parts say more about themselves, as attributes of their class:

* a readout with ``reads_blocks = True`` is called with the tokens after the last block and with the tuple of
  the tokens after every block; one with ``representations = 2`` gives representation_BRD, R = 2 vectors an
  image, each of which gets a head of its own, and the logits are their mean;
* a position with ``acts_on = "attention"`` is no embedding: each block's mixer is called as
  ``mixer(tokens_BND, bias=position)``, and adds ``position(q_BANE)``, (B, A, N, N), to its attention logits
  before the softmax. A mixer takes part by having a parameter ``bias`` in ``forward`` (and, where it has one,
  in ``forward_with_weights``);
* a part with parameters of one value a place has a method ``resampled(name, values, old_grid)``, which gives
  the values of its parameter ``name`` for its own grid from those of a model of another image size.

A whole model is a class, too: positional ``image_size`` ((height, width)), ``channels`` and ``classes``, options by
keyword, images_BCHW -> logits_BK.

How a parameter is drawn at the start is the business of `ablate.models.init`, which asks a part for its
``roles``. Tensors carry their shape in their name: B images, C channels, H by W pixels, N tokens, D the
width, A attention heads, E the width of one head, K classes.
"""
