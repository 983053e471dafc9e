"""AudioLDM from its parts: VAE, UNet, scheduler, vocoder and CLAP text encoder of a diffusers folder."""
