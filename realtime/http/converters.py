"""The converter of ids in URL paths: positive integers that every JSON reader can hold."""


class IdConverter:
    regex = "[1-9][0-9]{0,14}"  # below 2⁵³, so it fits a bigint and a JavaScript number

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)
