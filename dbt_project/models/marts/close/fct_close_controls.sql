{{ config(materialized='incremental') }}

{# In the order of controls/_controls__models.yml, which a test holds. #}
{%- set controls = [
    'every_billed_dollar_lands_once',
    'every_node_hour_adds_up',
    'resources_add_up_to_their_node_hour',
    'shares_follow_claims',
    'fargate_is_billed_to_its_pods',
    'marts_add_up_to_pod_costs',
    'charges_add_up_to_the_bill',
    'each_rule_gives_what_it_takes',
    'no_cost_is_charged_twice',
    'nothing_moves_between_payers',
    'roll_ups_add_up_to_charges',
    'no_pod_hour_is_counted_twice',
    'deliveries_were_read_whole',
    'split_rows_of_aws_are_left_out',
    'rounding_is_accounted_for',
    'every_basis_is_in_the_export',
    'every_cost_is_charged_to_somebody',
    'every_rule_matches_something',
    'pods_run_on_billed_instances',
    'cluster_nodes_have_an_inventory',
    'inventories_have_no_gaps',
    'instance_types_are_in_the_catalogue',
    'requests_fit_their_node',
    'accelerator_requests_are_recognized',
    'capacity_blocks_have_a_known_size',
    'capacity_block_fees_are_carried',
    'capacity_block_hours_carry_a_fee',
    'dedicated_hosts_are_known',
    'hyperpod_nodes_are_known',
    'market_weights_cover_every_type',
] %}

with

final as (

    {% for control in controls -%}
    select
        billing_month,
        '{{ control }}' as control,
        payer_account_id,
        cost_basis,
        expected_usd::decimal(38, 10) as expected_usd,
        actual_usd::decimal(38, 10) as actual_usd,
        residual_usd::decimal(38, 10) as residual_usd,
        is_passed,
        '{{ severity_of(control) }}' as severity,
        evidence
    from {{ ref('ctl_' ~ control) }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from final
