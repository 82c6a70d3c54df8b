"use strict";
// Axes of a chart, as axis.py has them: from data to drawing units and back, where the ticks go, what they are called.
const axes = (() => {
  // From [low, high, start, end, logarithmic]; low and high in data, start and end in drawing units.
  const axis = ([low, high, start, end, log]) => {
    const f = log ? Math.log10 : (v) => v, g = log ? (v) => 10 ** v : (v) => v, a = f(low), b = f(high);
    return {
      low, high, start, end, log,
      place: (value) => start + ((f(value) - a) / (b - a)) * (end - start),
      data: (at) => g(a + ((at - start) / (end - start)) * (b - a)),
      // The part from a share of the axis to another, in data.
      part: (from, to) => [g(a + from * (b - a)), g(a + to * (b - a))],
      share: (value) => (f(value) - a) / (b - a),
    };
  };
  const ticks = ({ low, high, log }, count) => {
    if (log) {
      const decades = [];
      for (let d = Math.floor(Math.log10(low)) - 1; d < Math.ceil(Math.log10(high)) + 1; d += 1) decades.push(d);
      const all = decades.flatMap((d) => (decades.length <= count ? [1, 2, 5] : [1]).map((part) => part * 10 ** d));
      const found = all.filter((value) => value >= low * 0.999 && value <= high * 1.001);
      if (found.length > 1) return found;
    }
    const raw = (high - low) / Math.max(count, 1), base = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((part) => part * base).find((each) => each >= raw * 0.999);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i += 1) found.push(i * step);
    return found;
  };
  const label = (value, step) => {
    if (value === 0 || Math.abs(value) < step * 1e-6) return "0";
    if (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4) {
      return Number(value.toPrecision(3)).toExponential().replace("e+", "e").replaceAll("-", "−");
    }
    let digits = 0;
    while (digits < 6 && Math.abs(Number(step.toFixed(digits)) - step) >= 1e-6 * step) digits += 1;
    return value.toFixed(digits).replace("-", "−");
  };
  const figure = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    const text = size >= 1e6 || size < 1e-3 ? value.toExponential(2) : Number(value.toPrecision(4)).toString();
    return text.replace("-", "−");
  };
  return { axis, ticks, label, figure };
})();
