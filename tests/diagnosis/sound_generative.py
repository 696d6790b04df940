"""Sound trainings with losses of their own (adversarial, generative, of a policy), each until it has learned."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.diagnosis.sound import IMAGES, Trainings, Watch, digits, minimized


def _ring(samples: int = 128) -> Tensor:
    """Points around eight places on a circle."""
    angle = torch.randint(0, 8, (samples,)) * (math.pi / 4)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(samples, 2)


def _adversarial(watch: Watch, *, wasserstein: bool) -> float:
    """How far the generated points lie from the circle, and their mean from its centre."""
    generator = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    critic = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    both = nn.ModuleDict({"generator": generator, "critic": critic})
    rates = (5e-4, 2e-3) if wasserstein else (1e-3, 3e-3)
    optimizers = [
        torch.optim.Adam(each.parameters(), lr=rate, betas=(0.5, 0.9))
        for each, rate in zip((generator, critic), rates, strict=True)
    ]
    with watch(both, optimizers):
        for _ in range(600):
            for _ in range(1 + wasserstein):
                real, fake = _ring(), generator(torch.randn(128, 4)).detach()
                if wasserstein:
                    between = torch.lerp(real, fake, torch.rand(128, 1)).requires_grad_()
                    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
                    penalty = (slope.norm(dim=1) - 1).square().mean()
                    loss = critic(fake).mean() - critic(real).mean() + penalty
                else:
                    loss = F.softplus(critic(fake)).mean() + F.softplus(-critic(real)).mean()
                optimizers[1].zero_grad()
                loss.backward()
                optimizers[1].step()
            judged = critic(generator(torch.randn(128, 4)))
            loss = -judged.mean() if wasserstein else F.softplus(-judged).mean()
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
    made = generator(torch.randn(1000, 4)).detach()
    return float((made.norm(dim=1) - 1).abs().mean() + made.mean(0).norm())


def adversarial(watch: Watch) -> float:
    """A generator and a discriminator."""
    return _adversarial(watch, wasserstein=False)


def wasserstein(watch: Watch) -> float:
    """The same with a critic and a penalty on its gradient."""
    return _adversarial(watch, wasserstein=True)


def variational_autoencoder(watch: Watch) -> float:
    """Digits through eight Gaussian numbers."""

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 64), nn.SiLU())
            self.mean, self.logvar = nn.Linear(64, 8), nn.Linear(64, 8)
            self.decoder = nn.Sequential(nn.Linear(8, 64), nn.SiLU(), nn.Linear(64, 64), nn.Sigmoid())

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = self.encoder(x)
            mean, logvar = self.mean(h), self.logvar(h)
            return self.decoder(mean + torch.randn_like(mean) * (logvar / 2).exp()), mean, logvar

    net = VAE()

    def loss_of() -> Tensor:
        x = digits()[0].flatten(1)
        y, mean, logvar = net(x)
        divergence = (mean.square() + logvar.exp() - logvar - 1).sum(1).mean() / 2
        return F.mse_loss(y, x, reduction="none").sum(1).mean() + 0.05 * divergence

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 300)


def diffusion(watch: Watch) -> float:
    """A network that tells the noise in points on a circle, given how much there is."""

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time = nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, 64))
            self.first, self.second, self.out = nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 2)

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            h = F.silu(self.first(x) + self.time(t))
            return self.out(h + F.silu(self.second(h)))

    net = Denoiser()

    def loss_of() -> Tensor:
        x, t = _ring(256), torch.rand(256, 1)
        noise = torch.randn_like(x)
        share = (t * math.pi / 2).cos()
        return F.mse_loss(net(share * x + (1 - share.square()).sqrt() * noise, t), noise)

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 400)


def sine_network(watch: Watch) -> float:
    """A picture as a function of its coordinates, with sines as activations (Sitzmann et al. 2020)."""

    class Sine(nn.Module):
        def __init__(self, fan_in: int, fan_out: int, *, first: bool = False) -> None:
            super().__init__()
            self.linear = nn.Linear(fan_in, fan_out)
            bound = 1 / fan_in if first else math.sqrt(6 / fan_in) / 30
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(30 * self.linear(x))

    net = nn.Sequential(Sine(2, 64, first=True), Sine(64, 64), Sine(64, 64), nn.Linear(64, 1))
    axis = torch.linspace(-1, 1, 8)
    places = torch.cartesian_prod(axis, axis)
    brightness = IMAGES[7].reshape(-1, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    return minimized(watch, net, optimizer, lambda: F.mse_loss(net(places), brightness), 200)


def physics_informed(watch: Watch) -> float:
    """u'' = −sin u on a line, from derivatives of the network."""
    net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def loss_of() -> Tensor:
        x = torch.rand(64, 1).requires_grad_()
        u = net(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        ends = net(torch.tensor([[0.0], [1.0]])) - torch.tensor([[1.0], [-1.0]])
        return (bend + u.sin()).square().mean() + ends.square().mean()

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 300)


def normalizing_flow(watch: Watch) -> float:
    """Four affine couplings that make a circle a Gaussian."""

    class Coupling(nn.Module):
        def __init__(self, place: int) -> None:
            super().__init__()
            self.place, self.net = place, nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 2))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            kept, moved = x[:, self.place, None], x[:, 1 - self.place, None]
            scale, shift = self.net(kept).chunk(2, 1)
            scale = scale.tanh()
            parts = [kept, moved * scale.exp() + shift]
            return torch.cat(parts if self.place == 0 else parts[::-1], 1), scale[:, 0]

    net = nn.ModuleList(Coupling(place % 2) for place in range(4))

    def loss_of() -> Tensor:
        z, volume = _ring(256), torch.zeros(256)
        for coupling in net:
            z, scale = coupling(z)
            volume = volume + scale
        return (z.square().sum(1) / 2 - volume).mean()

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=5e-3), loss_of, 400)


def policy_gradient(watch: Watch) -> float:
    """Actor and critic with a common body on a chain of six places; what is missing to the best return."""
    body, actor, critic = nn.Sequential(nn.Linear(6, 32), nn.Tanh()), nn.Linear(32, 2), nn.Linear(32, 1)
    net = nn.ModuleDict({"body": body, "actor": actor, "critic": critic})
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    returns = []
    with watch(net, optimizer):
        for _ in range(200):
            place, loss, total = torch.zeros(32, dtype=torch.long), torch.tensor(0.0), torch.zeros(32)
            for _ in range(10):
                h = body(F.one_hot(place, 6).float())
                policy = torch.distributions.Categorical(logits=actor(h))
                action = policy.sample()
                after = (place + 2 * action - 1).clamp(0, 5)
                reward = (after == 5).float()
                with torch.no_grad():
                    target = reward + 0.9 * critic(body(F.one_hot(after, 6).float()))[:, 0]
                value = critic(h)[:, 0]
                advantage = (target - value).detach()
                loss = loss + (F.mse_loss(value, target) - policy.log_prob(action).mul(advantage).mean()) / 10
                loss = loss - 0.01 * policy.entropy().mean() / 10
                place, total = after, total + reward
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            returns.append(total.mean().item())
    return 6 - sum(returns[-10:]) / 10


GENERATIVE: Trainings = {
    "adversarial": (adversarial, 0.35),
    "wasserstein": (wasserstein, 0.35),
    "variational_autoencoder": (variational_autoencoder, 3.2),
    "diffusion": (diffusion, 0.5),
    "sine_network": (sine_network, 0.01),
    "physics_informed": (physics_informed, 0.02),
    "normalizing_flow": (normalizing_flow, -0.5),
    "policy_gradient": (policy_gradient, 0.8),
}
