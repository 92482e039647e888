export async function rows() {}
