"""What a judge said of answers, and how that goes with what people say."""
