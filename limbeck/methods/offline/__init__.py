"""Methods with a pretrained, frozen teacher."""
