"""Autoencoder of windows: a bottleneck that says what a window is like, and a cross-check of its columns by each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from huracan.models.networks.sizes import check_sizes

__all__ = ["WindowAutoencoder"]


class WindowAutoencoder(nn.Module):
    """Two ways to reconstruct a window, which fail on different anomalies.

    The *bottleneck* sends the whole window through ``latent`` numbers: what windows are usually not like comes out wrong. The
    *cross-check* forecasts hidden columns from those that are shown, bar by bar and with a scale of its own (volume from
    range, range from volume): what is possible in each column alone, but not together, comes out wrong.

    Parameters
    ----------
    n_features, window : shape of the input, (batch, window, n_features), oldest bar first.
    latent : width of the bottleneck.
    hidden : width of the layers around it. cross_hidden : channels of the cross-check, whose forecast of a bar sees 8 bars to
        either side and the window's mean.

    References
    ----------
    Hinton and Salakhutdinov (2006), "Reducing the Dimensionality of Data with Neural Networks", Science 313. Vincent et al.
    (2008), "Extracting and Composing Robust Features with Denoising Autoencoders", ICML.

    Examples
    --------
    >>> network = WindowAutoencoder(n_features=3, window=16, latent=4)
    >>> x = torch.randn(5, 16, 3)
    >>> network.encode(x).shape, network(x).shape
    (torch.Size([5, 4]), torch.Size([5, 16, 3]))
    >>> hidden = torch.tensor([True, False, False]).expand(5, 3)
    >>> [part.shape for part in network.cross_check(x, hidden)]
    [torch.Size([5, 16, 3]), torch.Size([5, 16, 3])]
    """

    def __init__(self, n_features: int, window: int, *, latent: int = 16, hidden: int = 96, cross_hidden: int = 48) -> None:
        check_sizes(window=window, latent=latent, hidden=hidden, cross_hidden=cross_hidden)
        super().__init__()
        size = window * n_features
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, latent))
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, size), nn.Unflatten(1, (window, n_features))
        )
        self.first = nn.Conv1d(3 * n_features, cross_hidden, 5, padding=2)
        self.near = nn.Conv1d(cross_hidden, cross_hidden, 5, padding=2)
        self.far = nn.Conv1d(cross_hidden, cross_hidden, 5, padding=4, dilation=2)
        self.last = nn.Conv1d(cross_hidden, 2 * n_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The window as the bottleneck reconstructs it, (batch, window, n_features)."""
        return self.decoder(self.encoder(x))

    def encode(self, x: Tensor) -> Tensor:
        """Latent features (batch, latent)."""
        return self.encoder(x)

    def cross_check(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Forecast and log scale of every value, (batch, window, n_features) each, without the columns that are hidden.

        Parameters
        ----------
        hidden : bool (batch, n_features).
        """
        values = x.transpose(1, 2)
        veil = hidden[:, :, None].to(x.dtype).expand_as(values)
        shown = values * (1.0 - veil)
        level = shown.mean(dim=2, keepdim=True).expand_as(shown)
        steps = F.silu(self.first(torch.cat((shown, veil, level), dim=1)))
        steps = F.silu(self.near(steps)) + steps
        steps = F.silu(self.far(steps)) + steps
        forecast, log_scale = self.last(steps).transpose(1, 2).chunk(2, dim=2)
        return forecast, log_scale.clamp(-3.0, 3.0)
