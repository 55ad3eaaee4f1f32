"""The six training workloads in PyTorch: the same definitions and parameter names as frontends/models."""
import math

import torch
import torch.nn.functional as F
from torch import nn


class Heads(nn.Module):
    """Multi-head attention through PyTorch's fused kernel."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.p = heads, dropout
        for name in ("q", "k", "v", "out"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x, memory=None, causal=False, mask=None):
        source = x if memory is None else memory
        parts = [layer(t).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                 for layer, t in ((self.q, x), (self.k, source), (self.v, source))]
        drop = self.p if self.training else 0.0
        y = F.scaled_dot_product_attention(*parts, attn_mask=mask, is_causal=causal, dropout_p=drop)
        return self.out(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """One pre-norm Transformer layer; a decoder layer where `cross`."""

    def __init__(self, width, heads, hidden, dropout=0.0, cross=False, act=F.gelu):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Heads(width, heads, dropout)
        if cross:
            self.norm2, self.cross_attn = nn.LayerNorm(width), Heads(width, heads, dropout)
        self.norm3 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.drop, self.act, self.cross = nn.Dropout(dropout), act, cross

    def forward(self, x, memory=None, causal=False, mask=None, memory_mask=None):
        x = x + self.drop(self.attn(self.norm1(x), causal=causal, mask=mask))
        if self.cross:
            x = x + self.drop(self.cross_attn(self.norm2(x), memory, mask=memory_mask))
        hidden = self.drop(self.act(self.up(self.norm3(x))))
        return x + self.drop(self.down(hidden))


def sinusoids(length, width):
    angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(1e4) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


class Translator(nn.Module):
    def __init__(self, vocab=8000, width=256, heads=4, hidden=1024, layers=3, dropout=0.1):
        super().__init__()
        self.width, self.drop = width, nn.Dropout(dropout)
        self.embed = nn.Embedding(vocab, width)
        nn.init.normal_(self.embed.weight, std=width ** -0.5)
        self.register_buffer("pos", sinusoids(512, width))
        stack = lambda cross: nn.ModuleList(Layer(width, heads, hidden, dropout, cross, F.relu) for _ in range(layers))
        self.encoder, self.decoder = stack(False), stack(True)
        self.norm_e, self.norm_d = nn.LayerNorm(width), nn.LayerNorm(width)

    def embedded(self, ids):
        return self.drop(self.embed(ids) * math.sqrt(self.width) + self.pos[: ids.shape[1]])

    def forward(self, src, keep, tgt):
        mask, x = keep[:, None, None, :], self.embedded(src)
        for layer in self.encoder:
            x = layer(x, mask=mask)
        memory, y = self.norm_e(x), self.embedded(tgt)
        for layer in self.decoder:
            y = layer(y, memory, causal=True, memory_mask=mask)
        return F.linear(self.norm_d(y), self.embed.weight)


class Gpt(nn.Module):
    def __init__(self, vocab=65, width=384, heads=6, layers=6, length=256, causal=True):
        super().__init__()
        self.tok, self.pos, self.causal = nn.Embedding(vocab, width), nn.Embedding(length, width), causal
        for table in (self.tok, self.pos):
            nn.init.normal_(table.weight, std=0.02)
        self.blocks = nn.ModuleList(Layer(width, heads, 4 * width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids, keep=None):
        mask = None if keep is None else keep[:, None, None, :]
        x = self.tok(ids) + self.pos.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, causal=self.causal, mask=mask)
        return F.linear(self.norm(x), self.tok.weight)


def bert():
    return Gpt(30522, 256, 4, 4, 128, causal=False)


class Vit(nn.Module):
    def __init__(self, width=192, heads=3, layers=6, patch=4, side=28, classes=10):
        super().__init__()
        self.patch = nn.Conv2d(1, width, patch, stride=patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.pos = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.ModuleList(Layer(width, heads, 4 * width) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, image):
        tokens = self.patch(image).flatten(2).mT
        x = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], dim=1) + self.pos
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 0]))


class Unit(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        conv = lambda i, k, s, p: nn.Conv2d(i, outputs, k, s, p, bias=False)
        self.c1, self.b1 = conv(inputs, 3, stride, 1), nn.BatchNorm2d(outputs)
        self.c2, self.b2 = conv(outputs, 3, 1, 1), nn.BatchNorm2d(outputs)
        same = inputs == outputs
        self.short = nn.Identity() if same else nn.Sequential(conv(inputs, 1, stride, 0), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.b1(self.c1(x)))
        return F.relu(self.b2(self.c2(y)) + self.short(x))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        plan = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *(Unit(*u) for u in plan))
        self.head = nn.Linear(64, 10)

    def forward(self, image):
        return self.head(self.net(image).mean(dim=(2, 3)))


class GruTranslator(nn.Module):
    def __init__(self, vocab=8000, width=256):
        super().__init__()
        self.src, self.tgt = nn.Embedding(vocab, width), nn.Embedding(vocab, width)
        self.encoder = nn.GRU(width, width, bidirectional=True, batch_first=True)
        self.bridge = nn.Linear(width, width)
        self.wq, self.wk, self.score = nn.Linear(width, width), nn.Linear(2 * width, width), nn.Linear(width, 1, bias=False)
        self.cell, self.out = nn.GRUCell(3 * width, width), nn.Linear(4 * width, vocab)

    def forward(self, src, tgt):
        memory, last = self.encoder(self.src(src))
        h, keys, states = torch.tanh(self.bridge(last[1])), self.wk(memory), []
        for x in self.tgt(tgt).unbind(dim=1):
            score = self.score(torch.tanh(keys + self.wq(h).unsqueeze(1)))
            context = (score.softmax(dim=1) * memory).sum(dim=1)
            h = self.cell(torch.cat((x, context), dim=-1), h)
            states.append(torch.cat((h, context, x), dim=-1))
        return self.out(torch.stack(states, dim=1))


def ids(rows, length, vocab):
    return torch.randint(vocab, (rows, length))


def kept(rows, length):
    return torch.arange(length) < torch.randint(length // 2, length + 1, (rows, 1))


def cross_entropy(smoothing=0.0):
    return lambda logits, labels: F.cross_entropy(logits.flatten(0, -2), labels.flatten(), label_smoothing=smoothing)


def images():
    return (torch.randn(64, 1, 28, 28),), torch.randint(10, (64,))


# name: (model, inputs and labels, loss, optimiser, items a step)
WORKLOADS = {
    "translator": (Translator, lambda: ((ids(32, 32, 8000), kept(32, 32), ids(32, 32, 8000)), ids(32, 32, 8000)), cross_entropy(0.1),
                   lambda p: torch.optim.Adam(p, lr=1e-4, betas=(0.9, 0.98)), 1024),
    "gpt-char": (Gpt, lambda: ((ids(8, 256, 65),), ids(8, 256, 65)), cross_entropy(), lambda p: torch.optim.AdamW(p, lr=3e-4), 2048),
    "bert-mini": (bert, lambda: ((ids(16, 128, 30522), kept(16, 128)), ids(16, 128, 30522)), cross_entropy(),
                  lambda p: torch.optim.AdamW(p, lr=1e-4), 2048),
    "vit": (Vit, images, cross_entropy(), lambda p: torch.optim.AdamW(p, lr=1e-3), 64),
    "resnet20": (ResNet20, images, cross_entropy(), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), 64),
    "gru-attention": (GruTranslator, lambda: ((ids(32, 20, 8000), ids(32, 20, 8000)), ids(32, 20, 8000)), cross_entropy(),
                      lambda p: torch.optim.Adam(p, lr=1e-3), 640),
}
