"""The vision transformer and the parts it is assembled from: one class a file, one folder a kind.

A part is an ``nn.Module`` class. Its constructor takes two sorts of parameters:

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
                                                   rows and columns of its N tokens
readout        grid                                tokens_BND -> representation_BD; exposes
                                                   ``prefix_tokens``, how many tokens of its own its
                                                   method ``prepend`` puts in front (0: never called)
position       grid, prefix_tokens                 tokens_BND -> tokens_BND with positions added;
                                                   ``prefix_tokens`` of them precede the grid
attention      grid, prefix_tokens, block          normalised tokens_BND -> the residual branch; may
                                                   have ``forward_with_weights`` (see SelfAttention)
feed_forward   grid, prefix_tokens, block          normalised tokens_BND -> the residual branch
norm           (none)                              tokens_BND, or representation_BD, normalised
head           classes                             representation_BD -> logits_BK
=============  ==================================  ==================================================

``prefix_tokens`` is the readout's own number in attention and feed_forward; to a position it is 0 where
positions cover the patches alone. ``block`` counts from 0.

How a parameter is drawn at the start is the business of `ablate.models.init`, which asks a part for its
``roles``. Tensors carry their shape in their name: B images, C channels, H by W pixels, N tokens, D the
width, A attention heads, E the width of one head, K classes.
"""
