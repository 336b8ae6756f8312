"""Chapter 5: multiplication of numbers, digit by digit."""

CHAPTER = "05_multiplication"
