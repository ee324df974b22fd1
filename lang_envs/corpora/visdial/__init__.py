"""Visual dialogue on real images: readers of VisDial and VisPro, image features, an answerer and a guesser."""
