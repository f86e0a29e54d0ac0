// Node's medici behind a pipe, so that one process serves many tests.
//
//   node bridge.mjs <folder that has node_modules/medici>
//
// A request is one line of extended JSON on standard input, {id, operation, arguments}; its answer one line
// on standard output, {id, result} or {id, error: {name, message, code, ...}}. Requests run concurrently.
// Entries and sessions stay here between requests and are named by number.

import { createRequire } from "node:module";
import { join, sep } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(join(process.argv[2], "package.json"));
const mongoose = require("mongoose");
const { EJSON } = mongoose.mongo.BSON;

let medici;
let entries = [];
let sessions = [];

// medici binds its models to mongoose's default connection, and a model remembers that its indexes exist.
// Another database therefore needs the library loaded anew.
function loadMedici() {
  mongoose.deleteModel(/^Medici_/);
  for (const file of Object.keys(require.cache)) {
    if (file.includes(`${sep}medici${sep}build${sep}`)) delete require.cache[file];
  }
  return require("medici");
}

// A custom schema is medici's own one with more fields, as its manual tells users to write it.
function useTransactionFields(fields) {
  const { transactionSchema } = require("medici/build/models/transaction");
  medici.setTransactionSchema(new mongoose.Schema({ ...transactionSchema.obj, ...fields }, { id: false, versionKey: false }));
}

const openBook = ({ name, options }) => new medici.Book(name, options);

const withSession = (session) => (session === null ? {} : { session: sessions[session] });

const plainJournal = (journal) => ({ ...journal.toObject(), _transactions: [...journal._transactions] });

const operations = {
  async open({ uri, database, transactionFields }) {
    await mongoose.disconnect();
    entries = [];
    sessions = [];
    medici = loadMedici();
    if (transactionFields) useTransactionFields(transactionFields);
    await mongoose.connect(uri, { dbName: database });
    await medici.initModels();
  },

  async close() {
    await Promise.all(sessions.map((session) => session.endSession()));
    await mongoose.disconnect();
  },

  syncIndexes: () => medici.syncIndexes(),

  begin({ book, memo, date, originalJournal, legs }) {
    const entry = openBook(book).entry(memo, date, originalJournal);
    for (const [side, account, amount, extra] of legs) entry[side](account, amount, extra);
    return entries.push(entry) - 1;
  },

  async commit({ entry, session, writelockAccounts }) {
    const locks = writelockAccounts?.pattern
      ? new RegExp(writelockAccounts.pattern, writelockAccounts.flags)
      : writelockAccounts;
    return plainJournal(await entries[entry].commit({ ...withSession(session), writelockAccounts: locks }));
  },

  async void({ book, journal, reason, useOriginalDate, session }) {
    return plainJournal(await openBook(book).void(journal, reason, withSession(session), useOriginalDate));
  },

  balance: ({ book, query, session }) => openBook(book).balance(query, withSession(session)),

  ledger: ({ book, query, session }) => openBook(book).ledger(query, withSession(session)),

  listAccounts: ({ book }) => openBook(book).listAccounts(),

  async writelockAccounts({ book, accounts, session }) {
    await openBook(book).writelockAccounts(accounts, withSession(session));
  },

  async startTransaction() {
    const session = await mongoose.startSession();
    session.startTransaction();
    return sessions.push(session) - 1;
  },

  commitTransaction: ({ session }) => sessions[session].commitTransaction(),

  abortTransaction: ({ session }) => sessions[session].abortTransaction(),
};

const describe = (error) => ({
  name: error.constructor.name,
  message: error.message,
  code: error.code ?? null,
  total: error.total ?? null,
  labels: [...(error.errorLabelSet ?? [])],
});

async function answer(line) {
  const { id, operation, arguments: given } = EJSON.parse(line);
  let outcome;
  try {
    outcome = { id, result: (await operations[operation](given)) ?? null };
  } catch (error) {
    outcome = { id, error: describe(error) };
  }
  process.stdout.write(`${EJSON.stringify(outcome, { relaxed: false })}\n`);
}

createInterface({ input: process.stdin })
  .on("line", answer)
  .on("close", () => process.exit(0));
