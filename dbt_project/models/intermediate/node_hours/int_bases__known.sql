{{ config(materialized='incremental') }}

{%- set net_columns = [
    'line_item_net_unblended_cost',
    'reservation_net_effective_cost',
    'reservation_net_unused_amortized_upfront_fee_for_billing_period',
    'reservation_net_unused_recurring_fee',
    'savings_plan_net_savings_plan_effective_cost',
] %}

with

-- AWS's own split rows carry none of the bill's money.
kinds as (

    select distinct
        billing_month,
        bill_payer_account_id as payer_account_id,
        bill_export,
        delivery_id,
        source_file,
        case
            when
                line_item_line_item_type in (
                    'DiscountedUsage',
                    'RIFee',
                    'Fee',
                    'SavingsPlanCoveredUsage',
                    'SavingsPlanRecurringFee',
                    'SavingsPlanNegation',
                    'SavingsPlanUpfrontFee'
                )
                then line_item_line_item_type
            else 'other'
        end as kind
    from {{ source('raw', 'bill_lines') }}
    where coalesce(split_line_item_parent_resource_id, '') = ''

),

files as (

    select
        *,
        ',' || payer_account_ids || ',' as payers,
        ',' || absent_columns || ',' as absent
    from {{ ref('stg_cur__bill_files') }}
    where absent_columns is not null

),

-- Two roots may hold files of one name, which their payers tell apart.
kinds_of_files as (

    select
        kinds.*,
        files.absent,
        coalesce(files.layout like 'cur2%', false) as is_cur2,
        coalesce(
            {% for column in net_columns -%}
            instr(files.absent, ',{{ column }},') = 0{{ ' or' if not loop.last }}
            {% endfor -%},
            false
        ) as has_net_columns
    from kinds
    left join files
        on
            kinds.billing_month = files.billing_month
            and kinds.bill_export = files.bill_export
            and kinds.delivery_id = files.delivery_id
            and kinds.source_file = files.source_file
            and instr(files.payers, ',' || kinds.payer_account_id || ',') > 0

),

payers as (

    select
        billing_month,
        payer_account_id,
        max(case when has_net_columns then 1 else 0 end) = 1 as has_net_columns,
        max(case when kind in ('DiscountedUsage', 'RIFee') then 1 else 0 end)
        = 1 as has_reservations
    from kinds_of_files
    group by billing_month, payer_account_id

),

-- What each kind of line takes its cost from; method.md, "Cost bases".
needs as (

    select
        needs.cost_basis,
        needs.kind,
        needs.column_name
    from (
        values
        ('public_on_demand', 'any', 'pricing_public_on_demand_cost'),
        ('amortized', 'DiscountedUsage', 'reservation_effective_cost'),
        (
            'amortized',
            'RIFee',
            'reservation_unused_amortized_upfront_fee_for_billing_period'
        ),
        ('amortized', 'RIFee', 'reservation_unused_recurring_fee'),
        ('amortized', 'Fee', 'reservation_reservation_a_r_n'),
        (
            'amortized',
            'SavingsPlanCoveredUsage',
            'savings_plan_savings_plan_effective_cost'
        ),
        (
            'amortized',
            'SavingsPlanRecurringFee',
            'savings_plan_total_commitment_to_date'
        ),
        ('amortized', 'SavingsPlanRecurringFee', 'savings_plan_used_commitment'),
        ('net_amortized', 'DiscountedUsage', 'reservation_net_effective_cost'),
        (
            'net_amortized',
            'RIFee',
            'reservation_net_unused_amortized_upfront_fee_for_billing_period'
        ),
        ('net_amortized', 'RIFee', 'reservation_net_unused_recurring_fee'),
        (
            'net_amortized',
            'SavingsPlanCoveredUsage',
            'savings_plan_net_savings_plan_effective_cost'
        ),
        ('net_amortized', 'Fee', 'line_item_net_unblended_cost'),
        ('net_amortized', 'other', 'line_item_net_unblended_cost')
    ) as needs (cost_basis, kind, column_name)

),

-- A legacy report has no net columns where the payer has no discounts, and net is then
-- amortized; of CUR 2.0 the customer chooses the columns, so that it says nothing. A fee
-- is of a reservation only where there are any.
missing as (

    select distinct
        kinds_of_files.billing_month,
        kinds_of_files.payer_account_id,
        kinds_of_files.bill_export,
        needs.cost_basis,
        needs.column_name
    from kinds_of_files
    inner join payers
        on
            kinds_of_files.billing_month = payers.billing_month
            and kinds_of_files.payer_account_id = payers.payer_account_id
    inner join needs
        on
            (kinds_of_files.kind = needs.kind or needs.kind = 'any')
            and instr(kinds_of_files.absent, ',' || needs.column_name || ',') > 0
            and (
                needs.cost_basis <> 'net_amortized'
                or kinds_of_files.is_cur2
                or payers.has_net_columns
            )
            and (
                needs.column_name <> 'reservation_reservation_a_r_n'
                or payers.has_reservations
            )

),

-- Net amortized cost is amortized cost after discounts: without the one there is no other.
missing_of_bases as (

    select
        billing_month,
        payer_account_id,
        bill_export,
        cost_basis,
        column_name
    from missing
    union
    select
        billing_month,
        payer_account_id,
        bill_export,
        'net_amortized' as cost_basis,
        column_name
    from missing
    where cost_basis = 'amortized'

),

exports as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        {{ list_text('bill_export', 'true') }} as missing_in
    from (
        select distinct
            billing_month,
            payer_account_id,
            cost_basis,
            bill_export
        from missing_of_bases
    ) as exports_of_bases
    group by billing_month, payer_account_id, cost_basis

),

columns_of_bases as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        {{ list_text('column_name', 'true') }} as missing_columns
    from (
        select distinct
            billing_month,
            payer_account_id,
            cost_basis,
            column_name
        from missing_of_bases
    ) as columns_distinct
    group by billing_month, payer_account_id, cost_basis

),

bases as (

    {% for basis in bases() -%}
    select
        billing_month,
        payer_account_id,
        '{{ basis }}' as cost_basis
    from payers
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

final as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        columns_of_bases.missing_columns is null as is_known,
        columns_of_bases.missing_columns,
        exports.missing_in
    from bases
    left join columns_of_bases
        on
            bases.billing_month = columns_of_bases.billing_month
            and bases.payer_account_id = columns_of_bases.payer_account_id
            and bases.cost_basis = columns_of_bases.cost_basis
    left join exports
        on
            bases.billing_month = exports.billing_month
            and bases.payer_account_id = exports.payer_account_id
            and bases.cost_basis = exports.cost_basis

)

select * from final
