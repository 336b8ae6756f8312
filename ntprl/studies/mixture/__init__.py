"""Chapter 1: the mixture of long and short demonstrations."""

CHAPTER = "01_data_mixture"
