"""Compiled SGD for the linear chain: all positions in one pass over samples that are drawn on the way.

Loss at a position: ln(1 + exp(-label score)) + (lambda/2) |w|^2; step t has the size 1/(lambda t), w_0 = 0, and the
result is the mean of w_1..w_T (paper facts, section 3). How this is computed, exactly but for rounding:

1. u_t = t w_t obeys u_t = u_(t-1) + delta_t with delta_t = -(gradient of the log-loss at w_(t-1))/lambda: no decay.
2. The mean is (H_T u_T - sum_s H_(s-1) delta_s)/T with harmonic numbers H: two sums instead of T vectors.
3. The features of link l are [x, y_(l-1) x, y_1..y_(l-1)]. In a block of samples a score is the one at the block's
   start plus the delta of every earlier sample i times <phi_i, phi> = <x_i, x>(1 + y_i y) + sum_(m<l) y_im y_m: one
   number each. So a row of weights is read and written once for a block, not once for a sample.
"""

from math import exp

import numpy as np
from numba import njit

BLOCK = 16  # long samples taken together, four at a time where rows of weights are read or written
LANES = 16  # rows are padded with zeros to a multiple of this, which vector instructions like
MIXTURE, R_COT, R_E2E = 0, 1, 2  # where samples come from: the mixture, or rollouts that earn this reward

# Sums may be reordered (for vector instructions); infinities and NaN keep their meaning.
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@compiled
def next_word(state):
    """64 random bits: splitmix64, that is a hash of (key + counter x an odd constant)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def next_uniform(state):
    """A number in [0, 1), a multiple of 2^-53."""
    return (next_word(state) >> np.uint64(11)) * 2.0**-53


@compiled
def logistic(score):
    """1/(1 + exp(-score)) without overflow at any score."""
    e = exp(-abs(score))
    return (1.0 if score >= 0 else e) / (1.0 + e)


@compiled
def draw_input(state, x):
    """Fill x, (d,), with independent fair signs; returns their product."""
    d, odd = len(x), np.uint64(0)
    for start in range(0, d, 64):
        n = min(64, d - start)
        word = next_word(state) & (~np.uint64(0) >> np.uint64(64 - n))
        odd ^= word
        for j in range(n):
            x[start + j] = -1.0 if (word >> np.uint64(j)) & np.uint64(1) else 1.0
    for half in (32, 16, 8, 4, 2, 1):
        odd ^= odd >> np.uint64(half)
    return -1.0 if odd & np.uint64(1) else 1.0


@compiled
def link_score(row, x, y, k):
    """Score of link l = k + 2 with weights [on x (d), on y_(l-1) x (d), on y_1..y_(d-1)], after the links y[:k + 1]."""
    d = len(x)
    first, second, third = row[:d], row[d : 2 * d], row[2 * d :]
    on_x = on_product = on_links = 0.0
    for j in range(d):
        on_x += first[j] * x[j]
        on_product += second[j] * x[j]
    for i in range(k + 1):
        on_links += third[i] * y[i]
    return on_x + y[k] * on_product + on_links


@compiled
def draw_demonstration(state, p, x, y):
    """One of D(p_cot): fills x and y (a short one has only y[0]); returns whether it is long."""
    parity = draw_input(state, x)
    is_long = next_uniform(state) < p
    y[0] = x[0] if is_long else parity
    if is_long:
        for j in range(1, len(x)):
            y[j] = y[j - 1] * x[j]
    return is_long


@compiled
def draw_rollout(state, first, stop, links, x, y):
    """An answer of the model to a fresh x: (is long, r_cot, r_e2e)."""
    d, parity, score = len(x), draw_input(state, x), 0.0
    for j in range(d):
        score += first[j] * x[j]
    y[0] = 1.0 if next_uniform(state) < logistic(score) else -1.0
    score = link_score(stop, x, y, 0) + stop[2 * d + 1]
    if next_uniform(state) < logistic(score):
        return False, y[0] == parity, y[0] == parity
    right, chain = y[0] == x[0], x[0]
    for k in range(d - 1):
        chain *= x[k + 1]
        y[k + 1] = 1.0 if next_uniform(state) < logistic(link_score(links[k], x, y, k)) else -1.0
        right = right and y[k + 1] == chain
    return True, right, y[d - 1] == parity


@compiled
def _take(u, a, x, y, label, lam, t, harmonic, is_stop):
    """Step t of position 1 (features x) or of the stop decision (features [x, y_1 x, y_1, 1]); harmonic = H_(t-1)."""
    d, y_1, score = len(x), y[0], 0.0
    if is_stop:
        score = link_score(u, x, y, 0) + u[2 * d + 1]
    else:
        for j in range(d):
            score += u[j] * x[j]
    score /= max(t - 1, 1)
    delta = label * logistic(-label * score) / lam
    late = harmonic * delta
    for j in range(d):
        u[j] += delta * x[j]
        a[j] += late * x[j]
    if is_stop:
        u_2, a_2 = u[d : 2 * d], a[d : 2 * d]
        for j in range(d):
            u_2[j] += delta * y_1 * x[j]
            a_2[j] += late * y_1 * x[j]
        u[2 * d] += delta * y_1
        a[2 * d] += late * y_1
        u[2 * d + 1] += delta
        a[2 * d + 1] += late


@compiled
def _scores(row, x, y, width, k, scores):
    """scores[b, k] = <row of link k + 2, features of sample b>; rows are padded: [on x, on y_(l-1) x, on links]."""
    first, second, third = row[:width], row[width : 2 * width], row[2 * width :]
    for b in range(0, BLOCK, 4):
        x_0, x_1, x_2, x_3 = x[b], x[b + 1], x[b + 2], x[b + 3]
        s_0 = s_1 = s_2 = s_3 = p_0 = p_1 = p_2 = p_3 = 0.0
        for j in range(width):
            s_0 += first[j] * x_0[j]
            s_1 += first[j] * x_1[j]
            s_2 += first[j] * x_2[j]
            s_3 += first[j] * x_3[j]
            p_0 += second[j] * x_0[j]
            p_1 += second[j] * x_1[j]
            p_2 += second[j] * x_2[j]
            p_3 += second[j] * x_3[j]
        y_0, y_1, y_2, y_3 = y[b], y[b + 1], y[b + 2], y[b + 3]
        q_0 = q_1 = q_2 = q_3 = 0.0
        for i in range(k + LANES - k % LANES):
            q_0 += third[i] * y_0[i]
            q_1 += third[i] * y_1[i]
            q_2 += third[i] * y_2[i]
            q_3 += third[i] * y_3[i]
        scores[b, k] = s_0 + y_0[k] * p_0 + q_0
        scores[b + 1, k] = s_1 + y_1[k] * p_1 + q_1
        scores[b + 2, k] = s_2 + y_2[k] * p_2 + q_2
        scores[b + 3, k] = s_3 + y_3[k] * p_3 + q_3


@compiled
def _add(row, c, x, y, width, k):
    """row of link k + 2 += sum over the block of c[b, k] features of sample b."""
    first, second, third = row[:width], row[width : 2 * width], row[2 * width :]
    padded = k + LANES - k % LANES
    for b in range(0, BLOCK, 4):
        c_0, c_1, c_2, c_3 = c[b, k], c[b + 1, k], c[b + 2, k], c[b + 3, k]
        x_0, x_1, x_2, x_3 = x[b], x[b + 1], x[b + 2], x[b + 3]
        y_0, y_1, y_2, y_3 = y[b], y[b + 1], y[b + 2], y[b + 3]
        p_0, p_1, p_2, p_3 = c_0 * y_0[k], c_1 * y_1[k], c_2 * y_2[k], c_3 * y_3[k]
        for j in range(width):
            first[j] += c_0 * x_0[j] + c_1 * x_1[j] + c_2 * x_2[j] + c_3 * x_3[j]
            second[j] += p_0 * x_0[j] + p_1 * x_1[j] + p_2 * x_2[j] + p_3 * x_3[j]
        for i in range(padded):
            third[i] += c_0 * y_0[i] + c_1 * y_1[i] + c_2 * y_2[i] + c_3 * y_3[i]
    third[k + 1 : padded] = 0.0  # links that are not written yet


@compiled
def _take_links(u, a, x, y, n, d, lam, t, harmonic, scores, delta, late):
    """Steps t + 1..t + n of links 2..d on the first n rows of a block; returns H_(t + n)."""
    width, gain = x.shape[1], 1.0 / lam
    for k in range(d - 1):
        _scores(u[k], x, y, width, k, scores)
    for b in range(n):
        for i in range(b):
            inner = prefix = 0.0
            for j in range(width):
                inner += x[b, j] * x[i, j]
            for k in range(d - 1):
                same = y[b, k] * y[i, k]
                prefix += same
                scores[b, k] += delta[i, k] * (inner * (1.0 + same) + prefix)
        shrink = 1.0 / max(t + b, 1)
        for k in range(d - 1):
            label = y[b, k + 1]
            delta[b, k] = gain * label * logistic(-label * shrink * scores[b, k])
            late[b, k] = harmonic * delta[b, k]
        harmonic += 1.0 / (t + b + 1)
    delta[n:], late[n:] = 0.0, 0.0
    for k in range(d - 1):
        if np.any(delta[:, k] != 0.0):  # beyond a margin of 745 it is exactly 0
            _add(u[k], delta, x, y, width, k)
            _add(a[k], late, x, y, width, k)
    return harmonic


@compiled
def train(key, source, n, p, first, stop, links, lam, lam_link):
    """SGD on the kept ones of n fresh samples: (first, stop, links) as averaged, how many kept, how many of them long.

    From the mixture with share p, or from rollouts of the model (first, stop, links) that earn the reward.
    """
    d = len(first)
    state = np.array([key], dtype=np.uint64)
    u_first, a_first, u_stop, a_stop = np.zeros(d), np.zeros(d), np.zeros(2 * d + 2), np.zeros(2 * d + 2)
    width = d + -d % LANES
    u, a = np.zeros((d - 1, 3 * width)), np.zeros((d - 1, 3 * width))
    x, y = np.zeros((BLOCK, width)), np.zeros((BLOCK, width))
    scores, delta, late = np.zeros((BLOCK, d)), np.zeros((BLOCK, d)), np.zeros((BLOCK, d))
    kept = n_long = filled = 0
    harmonic = harmonic_long = 0.0
    for _ in range(n):
        bits, answer = x[filled, :d], y[filled, :d]
        if source == MIXTURE:
            is_long = draw_demonstration(state, p, bits, answer)
        else:
            is_long, r_cot, r_e2e = draw_rollout(state, first, stop, links, bits, answer)
            if not (r_cot if source == R_COT else r_e2e):
                continue
        kept += 1
        _take(u_first, a_first, bits, answer, answer[0], lam, kept, harmonic, False)
        _take(u_stop, a_stop, bits, answer, -1.0 if is_long else 1.0, lam, kept, harmonic, True)
        harmonic += 1.0 / kept
        filled += is_long
        if filled == BLOCK:
            harmonic_long = _take_links(u, a, x, y, filled, d, lam_link, n_long, harmonic_long, scores, delta, late)
            n_long, filled = n_long + filled, 0
    harmonic_long = _take_links(u, a, x, y, filled, d, lam_link, n_long, harmonic_long, scores, delta, late)
    n_long += filled
    first_mean = (harmonic * u_first - a_first) / max(kept, 1)
    stop_mean = (harmonic * u_stop - a_stop) / max(kept, 1)
    padded, links_mean = (harmonic_long * u - a) / max(n_long, 1), np.empty((d - 1, 3 * d - 1))
    links_mean[:, :d], links_mean[:, d : 2 * d] = padded[:, :d], padded[:, width : width + d]
    links_mean[:, 2 * d :] = padded[:, 2 * width : 2 * width + d - 1]
    return first_mean, stop_mean, links_mean, kept, n_long
