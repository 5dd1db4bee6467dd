"""The records of every topic: typed messages, codecs, schemas. Names are fixed: other programs rely on them."""
