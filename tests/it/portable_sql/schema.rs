//! The tables as the migrations leave them: columns, keys and references, folded from the parsed statements.

use std::collections::BTreeMap;

use sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, ColumnDef, ColumnOption, CreateTable, DataType, ForeignKeyConstraint, IndexColumn,
    ObjectName, ObjectType, Statement as Sql, TableConstraint,
};

use super::source::Statement;

/// All tables by name.
pub type Schema = BTreeMap<String, Table>;

#[derive(Clone, Debug, Default)]
pub struct Table {
    pub file: String,
    pub line: usize,
    pub columns: BTreeMap<String, Column>,
    /// The primary key and every unique constraint or index, with its columns in order.
    pub keys: Vec<Key>,
    pub references: Vec<Reference>,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub kind: DataType,
    pub required: bool,
}

#[derive(Clone, Debug)]
pub struct Key {
    pub name: String,
    pub columns: Vec<String>,
    pub file: String,
    pub line: usize,
}

#[derive(Clone, Debug)]
pub struct Reference {
    pub name: String,
    pub columns: Vec<String>,
    pub to: String,
    pub file: String,
    pub line: usize,
}

/// Folds the migrations. Temporary tables are left out: they are gone when the migration ends.
pub fn schema(migrations: &[Statement]) -> Schema {
    let mut tables = Schema::new();
    for statement in migrations {
        match &statement.parsed {
            Some(Sql::CreateTable(create)) if !create.temporary => {
                let mut table = Table { file: statement.file.clone(), line: statement.line, ..Table::default() };
                created(&mut table, create, statement);
                tables.insert(name(&create.name), table);
            }
            Some(Sql::AlterTable(alter)) => {
                let of = name(&alter.name);
                if let Some(table) = tables.get_mut(&of) {
                    alter.operations.iter().for_each(|operation| altered(&of, table, operation, statement));
                }
            }
            Some(Sql::CreateIndex(index)) if index.unique => {
                let of = name(&index.table_name);
                if let Some(table) = tables.get_mut(&of) {
                    let name = index.name.as_ref().map_or_else(|| format!("{of}_unique"), self::name);
                    table.keys.push(key(name, &index.columns, statement));
                }
            }
            Some(Sql::Drop { object_type, names, .. }) => {
                for dropped in names.iter().map(name) {
                    match object_type {
                        ObjectType::Table => drop(tables.remove(&dropped)),
                        ObjectType::Index => tables.values_mut().for_each(|table| table.keys.retain(|key| key.name != dropped)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    tables
}

/// The last part of a name, as PostgreSQL folds it.
pub fn name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()).unwrap_or_default()
}

fn created(table: &mut Table, create: &CreateTable, statement: &Statement) {
    let of = name(&create.name);
    create.columns.iter().for_each(|column| column_added(&of, table, column, statement));
    create.constraints.iter().for_each(|constraint| constraint_added(&of, table, constraint, statement));
}

fn altered(of: &str, table: &mut Table, operation: &AlterTableOperation, statement: &Statement) {
    match operation {
        AlterTableOperation::AddColumn { column_def, .. } => column_added(of, table, column_def, statement),
        AlterTableOperation::AddConstraint { constraint, .. } => constraint_added(of, table, constraint, statement),
        AlterTableOperation::DropColumn { column_names, .. } => {
            for dropped in column_names.iter().map(|ident| ident.value.to_lowercase()) {
                table.columns.remove(&dropped);
                table.keys.retain(|key| !key.columns.contains(&dropped));
                table.references.retain(|reference| !reference.columns.contains(&dropped));
            }
        }
        AlterTableOperation::DropConstraint { name, .. } => {
            table.keys.retain(|key| key.name != name.value);
            table.references.retain(|reference| reference.name != name.value);
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            if let Some(column) = table.columns.get_mut(&column_name.value.to_lowercase()) {
                match op {
                    AlterColumnOperation::SetNotNull => column.required = true,
                    AlterColumnOperation::DropNotNull => column.required = false,
                    AlterColumnOperation::SetDataType { data_type, .. } => column.kind = data_type.clone(),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn column_added(of: &str, table: &mut Table, column: &ColumnDef, statement: &Statement) {
    let own = column.name.value.to_lowercase();
    let mut required = false;
    for option in &column.options {
        match &option.option {
            ColumnOption::NotNull => required = true,
            ColumnOption::PrimaryKey(_) => {
                required = true;
                let columns = vec![own.clone()];
                table.keys.push(Key { name: format!("{of}_pkey"), columns, file: statement.file.clone(), line: statement.line });
            }
            ColumnOption::Unique(_) => {
                let named = option.name.as_ref().map_or_else(|| format!("{of}_{own}_key"), |ident| ident.value.clone());
                table.keys.push(Key { name: named, columns: vec![own.clone()], file: statement.file.clone(), line: statement.line });
            }
            ColumnOption::ForeignKey(constraint) => {
                let named = option.name.as_ref().map_or_else(|| format!("{of}_{own}_fkey"), |ident| ident.value.clone());
                table.references.push(reference(named, vec![own.clone()], constraint, statement));
            }
            _ => {}
        }
    }
    table.columns.insert(own, Column { kind: column.data_type.clone(), required });
}

fn constraint_added(of: &str, table: &mut Table, constraint: &TableConstraint, statement: &Statement) {
    match constraint {
        TableConstraint::PrimaryKey(primary) => {
            let key = key(format!("{of}_pkey"), &primary.columns, statement);
            for column in &key.columns {
                if let Some(column) = table.columns.get_mut(column) {
                    column.required = true;
                }
            }
            table.keys.push(key);
        }
        TableConstraint::Unique(unique) => {
            let columns: Vec<String> = unique.columns.iter().map(indexed).collect();
            let named = unique.name.as_ref().map_or_else(|| format!("{of}_{}_key", columns.join("_")), |ident| ident.value.clone());
            table.keys.push(Key { name: named, columns, file: statement.file.clone(), line: statement.line });
        }
        TableConstraint::ForeignKey(foreign) => {
            let columns: Vec<String> = foreign.columns.iter().map(|ident| ident.value.to_lowercase()).collect();
            let named = foreign.name.as_ref().map_or_else(|| format!("{of}_{}_fkey", columns.join("_")), |ident| ident.value.clone());
            table.references.push(reference(named, columns, foreign, statement));
        }
        _ => {}
    }
}

fn key(name: String, columns: &[IndexColumn], statement: &Statement) -> Key {
    Key { name, columns: columns.iter().map(indexed).collect(), file: statement.file.clone(), line: statement.line }
}

fn reference(name: String, columns: Vec<String>, constraint: &ForeignKeyConstraint, statement: &Statement) -> Reference {
    Reference { name, columns, to: self::name(&constraint.foreign_table), file: statement.file.clone(), line: statement.line }
}

fn indexed(column: &IndexColumn) -> String {
    column.column.expr.to_string().to_lowercase()
}
