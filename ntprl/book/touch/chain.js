// The linear chain and its SGD, as in ntprl/linear_chain/sgd.py, sample by sample: the same draws in the same order, the
// same steps, the same mean. So a run from the same key has the same weights, but for rounding. d is at most 32.
// Ours here: while answers are drawn, the first `unknown` links are coins and every other one is flipped with chance
// `noise`; a right answer is kept with chance 1 - price * tokens.

const linearChain = (() => {
  // 64 random bits by splitmix64, as two halves of 32
  const times = (ah, al, bh, bl) => {
    const [a0, a1, b0, b1] = [al & 0xffff, al >>> 16, bl & 0xffff, bl >>> 16];
    let t = a1 * b0 + ((a0 * b0) >>> 16);
    const carry = Math.floor(t / 65536);
    t = a0 * b1 + (t & 0xffff);
    const high = a1 * b1 + carry + Math.floor(t / 65536);
    return [(high + Math.imul(ah, bl) + Math.imul(al, bh)) >>> 0, Math.imul(al, bl) >>> 0];
  };
  const generator = (key) => {
    let high = parseInt(key.slice(0, 8), 16);
    let low = parseInt(key.slice(8), 16);
    const word = () => {
      const sum = low + 0x7f4a7c15;
      high = (high + 0x9e3779b9 + (sum > 0xffffffff ? 1 : 0)) >>> 0;
      low = sum >>> 0;
      let [h, l] = [high ^ (high >>> 30), low ^ ((low >>> 30) | (high << 2))];
      [h, l] = times(h >>> 0, l >>> 0, 0xbf58476d, 0x1ce4e5b9);
      [h, l] = [h ^ (h >>> 27), l ^ ((l >>> 27) | (h << 5))];
      [h, l] = times(h >>> 0, l >>> 0, 0x94d049bb, 0x133111eb);
      return [(h ^ (h >>> 31)) >>> 0, (l ^ ((l >>> 31) | (h << 1))) >>> 0];
    };
    const uniform = () => {
      const [h, l] = word();
      return (h * 2097152 + (l >>> 11)) * 2 ** -53;
    };
    return { word, uniform };
  };

  const logistic = (score) => {
    const e = Math.exp(-Math.abs(score));
    return (score >= 0 ? 1 : e) / (1 + e);
  };
  const blank = (d) => ({
    first: new Float64Array(d),
    stop: new Float64Array(2 * d + 2),
    links: Array.from({ length: d - 1 }, () => new Float64Array(3 * d - 1)),
  });

  // scores, with features [x], [x, y_1 x, y_1, 1] and [x, y_(l-1) x, y_1..y_(l-1)]
  const scoreFirst = (w, x) => {
    let sum = 0;
    for (let j = 0; j < x.length; j++) sum += w[j] * x[j];
    return sum;
  };
  const scoreLink = (w, x, y, k) => {
    const d = x.length;
    let sum = 0;
    for (let j = 0; j < d; j++) sum += (w[j] + y[k] * w[d + j]) * x[j];
    for (let i = 0; i <= k; i++) sum += w[2 * d + i] * y[i];
    return sum;
  };
  const scoreStop = (w, x, y) => scoreLink(w, x, y, 0) + w[2 * x.length + 1];

  // u += c features
  const addLink = (u, c, x, y, k) => {
    const d = x.length;
    const p = c * y[k];
    for (let j = 0; j < d; j++) {
      u[j] += c * x[j];
      u[d + j] += p * x[j];
    }
    for (let i = 0; i <= k; i++) u[2 * d + i] += c * y[i];
  };

  const drawInput = (random, x) => {
    const [, low] = random.word();
    let parity = 1;
    for (let j = 0; j < x.length; j++) {
      x[j] = (low >>> j) & 1 ? -1 : 1;
      parity *= x[j];
    }
    return parity;
  };
  const demonstration = (random, p, x, y) => {
    const parity = drawInput(random, x);
    const isLong = random.uniform() < p;
    y[0] = isLong ? x[0] : parity;
    if (isLong) for (let j = 1; j < x.length; j++) y[j] = y[j - 1] * x[j];
    return isLong;
  };
  // fills x and y; returns [is long, is kept]
  const rollout = (random, model, rule, x, y) => {
    const d = x.length;
    const parity = drawInput(random, x);
    y[0] = random.uniform() < logistic(scoreFirst(model.first, x)) ? 1 : -1;
    const isLong = !(random.uniform() < logistic(scoreStop(model.stop, x, y)));
    let isRight = y[0] === parity;
    if (isLong) {
      let chain = x[0];
      let isExact = y[0] === chain;
      for (let k = 0; k < d - 1; k++) {
        chain *= x[k + 1];
        let plus = logistic(scoreLink(model.links[k], x, y, k));
        if (rule.noise) plus += rule.noise * (1 - 2 * plus);
        if (k < rule.unknown) plus = 0.5;
        y[k + 1] = random.uniform() < plus ? 1 : -1;
        isExact = isExact && y[k + 1] === chain;
      }
      isRight = rule.reward === "r_cot" ? isExact : y[d - 1] === parity;
    }
    if (isRight && rule.price) isRight = random.uniform() < 1 - rule.price * (isLong ? d : 1);
    return [isLong, isRight];
  };

  // SGD on n fresh samples: of the mixture with share p, or kept rollouts of a model. advance() takes some steps.
  const training = ({ key, d, n, p, model = null, rule = null, longBefore }) => {
    const random = generator(key);
    const lam = Math.sqrt(d / n) / 2;
    const lamLink = d / Math.max(longBefore, 1);
    const [u, a] = [blank(d), blank(d)];
    const [x, y] = [new Float64Array(d), new Float64Array(d)];
    let [drawn, kept, long, harmonic, harmonicLong] = [0, 0, 0, 0, 0];

    const sample = () => {
      drawn += 1;
      let isLong;
      if (model) {
        let isKept;
        [isLong, isKept] = rollout(random, model, rule, x, y);
        if (!isKept) return;
      } else isLong = demonstration(random, p, x, y);
      const shrink = 1 / Math.max(kept, 1);
      kept += 1;
      let delta = (y[0] * logistic(-y[0] * shrink * scoreFirst(u.first, x))) / lam;
      for (let j = 0; j < d; j++) {
        u.first[j] += delta * x[j];
        a.first[j] += harmonic * delta * x[j];
      }
      const label = isLong ? -1 : 1;
      delta = (label * logistic(-label * shrink * scoreStop(u.stop, x, y))) / lam;
      addLink(u.stop, delta, x, y, 0);
      addLink(a.stop, harmonic * delta, x, y, 0);
      u.stop[2 * d + 1] += delta;
      a.stop[2 * d + 1] += harmonic * delta;
      harmonic += 1 / kept;
      if (!isLong) return;
      const shrinkLink = 1 / Math.max(long, 1);
      for (let k = 0; k < d - 1; k++) {
        const sign = y[k + 1];
        delta = (sign * logistic(-sign * shrinkLink * scoreLink(u.links[k], x, y, k))) / lamLink;
        addLink(u.links[k], delta, x, y, k);
        addLink(a.links[k], harmonicLong * delta, x, y, k);
      }
      long += 1;
      harmonicLong += 1 / long;
    };

    const mean = (sum, late, h, t) => sum.map((value, i) => (h * value - late[i]) / Math.max(t, 1));
    return {
      advance: (steps) => {
        for (const end = Math.min(drawn + steps, n); drawn < end; ) sample();
        return drawn >= n;
      },
      result: () => ({
        kept,
        long,
        model: {
          first: mean(u.first, a.first, harmonic, kept),
          stop: mean(u.stop, a.stop, harmonic, kept),
          links: u.links.map((sum, k) => mean(sum, a.links[k], harmonicLong, long)),
        },
      }),
    };
  };

  // over all inputs: exact P(long), shares of greedy answers that are long, and right
  const measure = (model, d, rule) => {
    const [x, y] = [new Float64Array(d), new Float64Array(d)];
    let [long, greedyLong, greedyRight] = [0, 0, 0];
    for (let code = 0; code < 2 ** d; code++) {
      let parity = 1;
      for (let j = 0; j < d; j++) {
        x[j] = (code >>> j) & 1 ? -1 : 1;
        parity *= x[j];
      }
      const score = scoreFirst(model.first, x);
      for (const sign of [1, -1]) {
        y[0] = sign;
        long += logistic(sign * score) * logistic(-scoreStop(model.stop, x, y));
      }
      y[0] = score > 0 ? 1 : -1;
      if (scoreStop(model.stop, x, y) > 0) {
        greedyRight += y[0] === parity ? 1 : 0;
        continue;
      }
      greedyLong += 1;
      for (let k = 0; k < d - 1; k++) y[k + 1] = scoreLink(model.links[k], x, y, k) > 0 ? 1 : -1;
      greedyRight += rule.unknown ? 0.5 : y[d - 1] === parity ? 1 : 0;
    }
    const share = (count) => count / 2 ** d;
    return { long: share(long), greedyLong: share(greedyLong), greedyRight: share(greedyRight) };
  };

  return { generator, training, measure };
})();
