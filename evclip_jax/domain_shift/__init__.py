"""Why a recogniser fails: factors of clips, distances, corruptions."""
