// Where the carry goes, in two dimensions: principal components of its states, one for each segment.
//
// Letters: T segments, n numbers in a state. By the Gram matrix [T, T], as T is far smaller than n.

const ROUNDS = 200;

/** [T][2] coordinates of states, T arrays of n numbers. */
export function project(states) {
  const count = states.length;
  if (count < 2) return states.map(() => [0, 0]);
  const gram = centred(states.map((one) => states.map((other) => dot(one, other))));
  const points = states.map(() => [0, 0]);
  for (const axis of [0, 1]) {
    const { value, vector } = leading(gram);
    vector.forEach((share, row) => {
      points[row][axis] = share * Math.sqrt(Math.max(value, 0));
      vector.forEach((other, column) => (gram[row][column] -= value * share * other));
    });
  }
  return points;
}

function dot(one, other) {
  let sum = 0;
  for (let place = 0; place < one.length; place++) sum += one[place] * other[place];
  return sum;
}

/** What the Gram matrix would be had the mean state been taken off before. */
function centred(gram) {
  const count = gram.length;
  const means = gram.map((row) => row.reduce((sum, value) => sum + value, 0) / count);
  const mean = means.reduce((sum, value) => sum + value, 0) / count;
  return gram.map((row, i) => row.map((value, j) => value - means[i] - means[j] + mean));
}

/** The largest eigenvalue and its vector, by repeated multiplication. */
function leading(gram) {
  let vector = gram.map((_, row) => Math.sin(row + 1)), value = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const next = gram.map((row) => dot(row, vector));
    const size = Math.sqrt(dot(next, next));
    if (size < 1e-12) return { value: 0, vector: vector.map(() => 0) };
    vector = next.map((share) => share / size);
    value = size;
  }
  return { value, vector };
}
