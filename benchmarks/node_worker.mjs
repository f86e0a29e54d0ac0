// Node's medici, doing the work that a bench asks for and measuring it with its own clock.
//
//   node node_worker.mjs <folder that has node_modules/medici>
//
// benchmarks/worker_process.py says how requests and answers look, benchmarks/journals.py which journals
// are posted.

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(join(process.argv[2], "package.json"));
const mongoose = require("mongoose");
const medici = require("medici");

const BOOK = "Bench";
const CASH = "Assets:Cash";
const WALLETS = 1_000;
const AMOUNT = 7;

const wallet = (number) => `Liabilities:Users:${number % WALLETS}`;

let book;
let roundTrips = 0;

async function inParallel(posters, poster) {
  const began = performance.now();
  await Promise.all(Array.from({ length: posters }, poster));
  return (performance.now() - began) / 1_000;
}

const operations = {
  async open({ uri, database, monitored }) {
    await mongoose.connect(uri, { dbName: database, monitorCommands: monitored });
    mongoose.connection.getClient().on("commandStarted", () => (roundTrips += 1));
    await medici.initModels();
    book = new medici.Book(BOOK);
  },

  async post({ posters, secs, journals }) {
    const latencies = [];
    const ends = secs === null ? Infinity : performance.now() + secs * 1_000;
    const last = journals ?? Infinity;
    let begun = 0;
    roundTrips = 0;
    const took = await inParallel(posters, async () => {
      while (begun < last && performance.now() < ends) {
        const number = begun++;
        const asked = performance.now();
        await book.entry("bench").debit(CASH, AMOUNT).credit(wallet(number), AMOUNT).commit();
        latencies.push(performance.now() - asked);
      }
    });
    return { journals: begun, secs: took, latencies_ms: latencies, round_trips: roundTrips };
  },

  async balance({ account, cached, end_date_ms: endDateMs }) {
    const asked = performance.now();
    const reader = cached ? book : new medici.Book(BOOK, { balanceSnapshotSec: 0 });
    const query = endDateMs === undefined ? { account } : { account, end_date: new Date(endDateMs) };
    const { balance } = await reader.balance(query);
    return { balance, ms: performance.now() - asked };
  },

  async deposit({ wallet: account, amount }) {
    await book.entry("deposit").debit(CASH, amount).credit(account, amount).commit();
  },

  // As medici's manual tells it: post, read the balance in the session, throw if it is too low, lock last.
  async withdraw({ wallet: account, withdrawals, posters }) {
    const latencies = [];
    const outcomes = { stood: 0, refused: 0, failed: 0 };
    const uncached = new medici.Book(BOOK, { balanceSnapshotSec: 0 });
    let begun = 0;
    const withdraw = () =>
      medici.mongoTransaction(async (session) => {
        await uncached.entry("withdrawal").debit(account, 1).credit(CASH, 1).commit({ session });
        const { balance } = await uncached.balance({ account }, { session });
        if (balance < 0) throw new RangeError("insufficient");
        await uncached.writelockAccounts([account], { session });
      });
    const took = await inParallel(posters, async () => {
      while (begun < withdrawals) {
        begun += 1;
        const asked = performance.now();
        try {
          await withdraw();
          outcomes.stood += 1;
        } catch (error) {
          outcomes[error instanceof RangeError ? "refused" : "failed"] += 1;
        }
        latencies.push(performance.now() - asked);
      }
    });
    return { ...outcomes, secs: took, latencies_ms: latencies };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, arguments: given } = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await operations[operation](given)) ?? null };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await mongoose.disconnect();
