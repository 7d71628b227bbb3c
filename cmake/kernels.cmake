# The kernels' files are compiled for their own instruction set; the reference twice from one source, with and without
# the FMA instruction (fmaf then is one instruction or a library call: the same bits). -fno-tree-vectorize keeps the
# reference plain: it is the definition, not a competitor.
