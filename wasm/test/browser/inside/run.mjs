// Runs a function of a module beside this one with the package; in pages and workers.
export async function run(module, name, argument, entry) {
  try {
    const [functions, api] = await Promise.all([import(`/inside/${module}.mjs`), import(`/dist/${entry}.js`)]);
    return { value: await functions[name](api, argument) };
  } catch (error) {
    return { error: `${error?.code ?? ""} ${error?.stack ?? error}` };
  }
}
