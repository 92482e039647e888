export async function flow() {}
