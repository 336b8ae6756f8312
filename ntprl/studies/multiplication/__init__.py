"""Chapter 6: multiplication of numbers, digit by digit."""

CHAPTER = "06_multiplication"
